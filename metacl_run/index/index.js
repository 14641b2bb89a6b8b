// Sorts and filters the table of runs, and shortens long settings. Nothing is loaded from anywhere.
const table = document.querySelector("#runs");
const body = table.tBodies[0];
const rows = [...body.rows];
const texts = rows.map((row) => row.textContent.toLowerCase());
const search = document.querySelector("#search");
const count = document.querySelector("#count");
const headings = [...table.tHead.rows[0].cells];

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let visible = 0;
  rows.forEach((row, i) => {
    row.hidden = !words.every((word) => texts[i].includes(word));
    visible += !row.hidden;
  });
  count.textContent = words.length ? `${visible} of ${rows.length} runs` : "";
}

function sort(column) {
  const heading = headings[column];
  const falling = heading.getAttribute("aria-sort") === "ascending";
  headings.forEach((other) => other.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  const keys = new Map(rows.map((row) => [row, row.cells[column].textContent.replace(/^-$/, "")]));
  const ordered = [...rows].sort((a, b) => {
    const [first, second] = [keys.get(a), keys.get(b)];
    if (!first || !second) return Boolean(second) - Boolean(first); // what is missing is last either way
    const numbers = [Number(first), Number(second)];
    const order = numbers.some(Number.isNaN) ? compare(first, second) : numbers[0] - numbers[1];
    return falling ? -order : order;
  });
  body.append(...ordered);
}

headings.forEach((heading, column) => {
  heading.firstElementChild.addEventListener("click", () => sort(column));
});
search.addEventListener("input", filter);
body.addEventListener("click", (event) => event.target.closest("code")?.classList.toggle("whole"));
table.classList.add("shortened");
document.querySelector("#controls").hidden = false;
filter(); // a browser may restore what was typed before a reload
