// Sifts and sorts the table of claims on the page of verdicts. What is chosen stands in the address, so that a link leads to it.
window.addEventListener("load", function () {
  for (const form of document.querySelectorAll("form.claim-controls")) {
    const table = form.parentElement.querySelector("table.claims.sifted");
    const body = table.tBodies[0], lines = [...body.rows];
    const rows = lines.filter((line) => line.id), headings = lines.filter((line) => !line.id);
    const said = form.querySelector("output"), controls = [...form.querySelectorAll("select")];
    const verdicts = [...form.elements.verdict.options].map((option) => option.value);
    const keys = {
      verdict: (row) => verdicts.indexOf(row.dataset.verdict),
      cost: (row) => -row.dataset.cost,
    };

    function show() {
      const key = keys[form.elements.order.value];
      const fits = (row) => controls.every(({ name, value }) => name === "order" || !value || row.dataset[name] === value);
      for (const row of rows) row.hidden = !fits(row);
      // A heading stands over the rows of its theme, if there are any and they are together.
      for (const line of headings) line.hidden = key || !rows.some((row) => !row.hidden && row.dataset.theme === line.dataset.theme);
      body.append(...(key ? [...headings, ...[...rows].sort((one, other) => key(one) - key(other))] : lines));
      said.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} claims shown`;
    }

    const named = () => rows.find((row) => "#" + row.id === location.hash);

    function remember() {
      const chosen = new URLSearchParams(controls.filter(({ value }) => value).map(({ name, value }) => [name, value]));
      const anchor = named()?.hidden ? "" : location.hash;
      history.replaceState(null, "", location.pathname + (String(chosen) && `?${chosen}`) + anchor);
    }

    function restore() {
      const asked = new URLSearchParams(location.search);
      form.reset();
      for (const control of controls) {
        const value = asked.get(control.name) ?? "";
        if ([...control.options].some((option) => option.value === value)) control.value = value;
      }
      show();
    }

    // A link to a claim shows its row, whatever was chosen, and opens it.
    function visit() {
      const row = named();
      if (!row) return;
      if (row.hidden) {
        form.reset();
        show();
        remember();
      }
      row.querySelector("details").open = true;
      row.scrollIntoView();
    }

    form.addEventListener("change", () => (show(), remember()));
    form.addEventListener("submit", (event) => event.preventDefault());
    window.addEventListener("hashchange", visit);
    window.addEventListener("popstate", restore);
    form.hidden = false;
    restore();
    visit();
  }
});
