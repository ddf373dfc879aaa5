"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const valueOf = (cell) => cell.dataset.value ?? cell.textContent;

  // what works by script alone is hidden until there is one
  for (const each of all(".tools, .switch")) each.hidden = false;

  // one chart at a time; print shows all of them
  const choose = (group) => {
    const chosen = group.querySelector("input:checked").value;
    for (const each of all("[data-choice]", group.parentElement)) {
      each.classList.toggle("off", each.dataset.choice !== chosen);
    }
    watchScrolling();
  };

  // what does not scroll needs no place in the order of the tab key
  const watchScrolling = () => {
    for (const box of all(".scroll")) {
      const scrolls = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
      box.classList.toggle("scrolls", scrolls);
      if (scrolls) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };

  // blanks last whichever way: they are neither small nor large
  const compare = (isNumber, sign) => (a, b) => {
    if (a.value === "" || b.value === "") return (a.value === "") - (b.value === "");
    const order = isNumber ? a.value - b.value : a.value.localeCompare(b.value);
    return sign * order;
  };

  const sort = (head) => {
    const ascending = head.getAttribute("aria-sort") !== "ascending";
    const table = head.closest("table");
    for (const each of all("th", table)) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const rows = all("tbody tr", table).map((row) => ({ row, value: valueOf(row.cells[head.cellIndex]) }));
    rows.sort(compare(head.classList.contains("number"), ascending ? 1 : -1));
    table.tBodies[0].append(...rows.map((each) => each.row));
  };

  const makeSortable = (head) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(head));
  };

  // a spreadsheet takes text that begins so for a formula
  const field = (cell) => {
    const isText = !cell.classList.contains("number");
    const formula = /(^|;)(\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])/g;
    const text = isText ? valueOf(cell).replace(formula, "$1$2'") : valueOf(cell);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };

  const csvOf = (table) => {
    const heads = all("th", table).map((head) => head.dataset.key);
    const rows = all("tbody tr", table).map((row) => [...row.cells].map(field));
    return [heads, ...rows].map((row) => row.join(",") + "\r\n").join("");
  };

  const download = (table) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csvOf(table)], { type: "text/csv;charset=utf-8" }));
    link.download = table.dataset.file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  const copy = async (button) => {
    const code = button.closest(".command").querySelector("code");
    const said = button.parentElement.querySelector("[role=status]");
    try {
      await navigator.clipboard.writeText(code.textContent);
      said.textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(code);
      said.textContent = "Selected: copy it with the keyboard.";
    }
  };

  for (const group of all(".switch")) {
    group.addEventListener("change", () => choose(group));
    choose(group);
  }
  for (const head of all("table[data-file] th")) makeSortable(head);
  for (const button of all("[data-csv]")) {
    button.addEventListener("click", () => download(document.getElementById(button.dataset.csv)));
  }
  for (const button of all("[data-copy]")) button.addEventListener("click", () => copy(button));
  addEventListener("resize", watchScrolling);
  watchScrolling();
})();
