// Sifts and sorts the table of claims on the page of verdicts.
window.addEventListener("load", function () {
  for (const form of document.querySelectorAll("form.claim-controls")) {
    const table = form.parentElement.querySelector("table.claims.sifted");
    const body = table.tBodies[0], rows = [...body.rows], said = form.querySelector("output");
    const verdicts = [...form.elements.verdict.options].map((option) => option.value);
    const keys = {
      paper: (row) => rows.indexOf(row),
      verdict: (row) => verdicts.indexOf(row.dataset.verdict),
      cost: (row) => -row.dataset.cost,
    };

    function show() {
      const fits = (row, name) => !form.elements[name].value || row.dataset[name] === form.elements[name].value;
      const key = keys[form.elements.order.value];
      body.append(...[...rows].sort((one, other) => key(one) - key(other)));
      for (const row of rows) row.hidden = !(fits(row, "verdict") && fits(row, "page"));
      said.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} claims shown`;
    }

    // A link to a claim shows its row, whatever was chosen, and opens it.
    function visit() {
      const row = rows.find((row) => "#" + row.id === location.hash);
      if (!row) return;
      if (row.hidden) form.reset();
      show();
      row.querySelector("details").open = true;
      row.scrollIntoView();
    }

    form.addEventListener("change", show);
    form.addEventListener("submit", (event) => event.preventDefault());
    window.addEventListener("hashchange", visit);
    form.hidden = false;
    show();
    visit();
  }
});
