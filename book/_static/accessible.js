// What the theme leaves undone for those who read with a keyboard or a screen reader.
(function () {
  const each = (selector, act) => document.querySelectorAll(selector).forEach(act);

  // A control is called what it says; a list of works is no ARIA list, since its anchors are no items.
  function rename() {
    each("summary[aria-label='Toggle hidden content'], .search-button-field[aria-label]", (e) => e.removeAttribute("aria-label"));
    each(".theme-switch-button :is(i, svg)", (icon) => {
      icon.removeAttribute("title");
      icon.querySelector("title")?.remove();
      icon.setAttribute("aria-hidden", "true");
    });
    each(".citation-list, .citation", (e) => e.removeAttribute("role"));
    each("nav li > details > summary", (e) => e.setAttribute("aria-label", `Pages of: ${e.closest("li").querySelector("a").textContent.trim()}`));
  }

  // What scrolls sideways can be reached, and so scrolled, with the keyboard.
  function reach() {
    each(".bd-article :is(table, pre, td, mjx-container, .cell_output, dl)", (e) => {
      const scrolls = e.scrollWidth > e.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(e).overflowX);
      if (scrolls) e.tabIndex = 0;
      else if (e.tabIndex === 0 && e.dataset.reached) e.removeAttribute("tabindex");
      if (scrolls) e.dataset.reached = "yes";
    });
  }

  // On paper: dark on light.
  const { dataset } = document.documentElement;
  let theme;
  window.addEventListener("beforeprint", () => {
    theme = dataset.theme;
    dataset.theme = "light";
  });
  window.addEventListener("afterprint", () => (dataset.theme = theme));

  document.addEventListener("DOMContentLoaded", () => {
    rename();
    // Font Awesome puts its own icons, with titles, in the place of the theme's whenever it is ready.
    each(".theme-switch-button", (button) => new MutationObserver(rename).observe(button, { childList: true }));
  });
  window.addEventListener("load", () => {
    rename();
    reach();
    window.MathJax?.startup?.promise?.then(reach);
    // Another width of the screen, and whatever opens or is typeset, gives the article another size.
    each(".bd-article", (article) => new ResizeObserver(reach).observe(article));
  });
})();
