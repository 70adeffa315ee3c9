// Shows of the page's sample users those that hold what is typed: a letter, an id where the page has ids, or an item's title.
// Without scripts the box stays hidden and every user is shown.
const box = document.getElementById("find");
const shown = [...document.querySelectorAll("article.user")];
const answer = document.getElementById("found");
const plain = text => text.toLowerCase().replace(/\s+/g, " ").trim();
function find() {
  const wanted = plain(box.value);
  const exact = shown.filter(user => wanted && [user.dataset.letter, user.dataset.id].some(name => name && plain(name) === wanted));
  const found = exact.length ? exact : shown.filter(user => plain(user.textContent).includes(wanted));
  shown.forEach(user => { user.hidden = !found.includes(user); });
  const number = found.length === 1 ? "1 user" : `${found.length} users`;
  answer.textContent = !wanted ? "" : found.length ? `${number} of the ${shown.length} on this page` : "None of the users on this page.";
}
if (box) {
  box.closest("form").hidden = false;
  box.addEventListener("input", find);
  box.closest("form").addEventListener("submit", event => event.preventDefault());
}
