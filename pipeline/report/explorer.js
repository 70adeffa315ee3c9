// The explorer: the sample's users, their history, list and reasons, and the items that these name. Everything is written with
// textContent: a title is text, whatever it holds. Without scripts the section stays hidden.
const explorer = document.getElementById("explorer");
if (explorer) {
  const data = JSON.parse(document.getElementById("explorer-data").textContent);
  const people = document.getElementById("explorer-users");
  const findings = document.getElementById("explorer-items");
  const panel = document.getElementById("explorer-panel");
  const search = document.getElementById("explorer-search");
  const answer = document.getElementById("explorer-answer");
  const MOST = 20;

  const make = (name, text = "", kind = "") => {
    const made = document.createElement(name);
    made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };
  const titleOf = item => (data.items[item] || {}).title || item;
  const nameOf = user => user.user_id ? `${user.label} (${user.user_id})` : user.label;
  const button = (text, kind, act) => {
    const made = make("button", text, kind);
    made.type = "button";
    made.addEventListener("click", act);
    return made;
  };
  const itemButton = item => button(titleOf(item), "link", () => showItem(item));
  const rows = (kind, ordered, list, line) => {
    const made = make(ordered ? "ol" : "ul", "", kind);
    list.forEach((each, place) => {
      const row = make("li");
      row.append(...line(each, place));
      made.append(row);
    });
    return made;
  };
  const column = (title, content, none) => {
    const made = make("div");
    made.append(make("h4", title), content.childElementCount ? content : make("p", none, "more"));
    return made;
  };
  const show = (heading, ...parts) => {
    const title = make("h3", heading);
    title.tabIndex = -1;
    panel.replaceChildren(title, ...parts);
    title.focus({ preventScroll: true });
    panel.scrollIntoView({ block: "nearest" });
  };
  const because = reasons => reasons.map(([kind, item, words]) =>
    kind === "like" ? `like “${titleOf(item)}” (${words})` : kind === "source" ? `proposed by ${words}` : `rules: ${words}`);

  const showUser = user => {
    people.querySelectorAll("button").forEach(each => each.setAttribute("aria-pressed", each.dataset.label === user.label));
    const notes = [];
    if (user.fallback) notes.push(make("p", `This list is a fallback: ${user.fallback.replaceAll("_", " ")}.`, "about"));
    if (user.taken) notes.push(make("p", `Taken by rules of the shop: ${user.taken}.`, "about"));
    const before = new Map(user.before.map((item, place) => [item, place + 1]));
    const now = new Set(user.list.map(([item]) => item));
    const list = rows("list-now", true, user.list, ([item, , reasons], place) => {
      const was = before.get(item);
      const moved = !user.before.length ? "" : !was ? "new" : was === place + 1 ? "" : was > place + 1 ? `↑ from ${was}` : `↓ from ${was}`;
      return [itemButton(item), ...(moved ? [make("span", moved, "move")] : []), ...because(reasons).map(text => make("small", text))];
    });
    const columns = make("div", "", "columns three");
    columns.append(column("History, newest first", rows("history", false, user.history, ([item, action]) =>
      [itemButton(item), make("small", action)]), "none that is shown"));
    columns.append(column("List tonight", list, "no list"));
    columns.append(column(data.since ? `List of ${data.since}` : "List before", rows("list-before", true, user.before, item =>
      [itemButton(item), ...(now.has(item) ? [] : [make("span", "gone", "move")])]), "none"));
    show(nameOf(user), ...notes, columns);
  };

  const showItem = item => {
    const facts = data.items[item];
    if (!facts) return;
    const known = [["Id", item], ["Category", facts.category], ["Price", facts.price], ["In lists tonight", facts.now],
      ["In lists before", data.since ? facts.before : null]].filter(([, value]) => value !== null && value !== undefined);
    const list = make("dl", "", "facts");
    known.forEach(([name, value]) => {
      const pair = make("div");
      pair.append(make("dt", name), make("dd", String(value)));
      list.append(pair);
    });
    const listed = data.users.filter(user => user.list.some(([other]) => other === item));
    const columns = make("div", "", "columns");
    columns.append(column("Similar items", rows("similar", true, facts.similar, ([other, words]) =>
      [itemButton(other), make("small", words)]), "none on this page"));
    columns.append(column("In the lists of", rows("holders", false, listed, user =>
      [button(nameOf(user), "link", () => showUser(user))]), "nobody on this page"));
    show(titleOf(item), list, columns);
  };

  const plain = text => String(text).toLowerCase().replace(/\s+/g, " ").trim();
  const catalogue = Object.keys(data.items).map(item => [item, plain(`${titleOf(item)} ${item}`)]);
  const find = () => {
    const wanted = plain(search.value);
    const found = wanted ? catalogue.filter(([, text]) => text.includes(wanted)) : [];
    findings.replaceChildren(...found.slice(0, MOST).map(([item]) => {
      const row = make("li");
      row.append(itemButton(item));
      return row;
    }));
    const kept = Object.keys(data.items).length;
    answer.textContent = !wanted ? "" : !found.length ? `None of the ${kept} items on this page.`
      : found.length > MOST ? `${found.length} items, the first ${MOST} are shown.` : found.length === 1 ? "1 item." : `${found.length} items.`;
  };
  const along = event => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    const all = [...event.currentTarget.querySelectorAll("button")];
    const at = all.indexOf(document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    all[(at + step + all.length) % all.length].focus();
  };

  people.append(...data.users.map(user => {
    const row = make("li");
    const made = button(nameOf(user), "person", () => showUser(user));
    made.dataset.label = user.label;
    made.setAttribute("aria-pressed", "false");
    row.append(made);
    return row;
  }));
  people.addEventListener("keydown", along);
  findings.addEventListener("keydown", along);
  panel.addEventListener("keydown", event => {
    if (event.key !== "Escape") return;
    (people.querySelector('[aria-pressed="true"]') || search).focus();
  });
  search.addEventListener("input", find);
  search.addEventListener("keydown", event => {
    if (event.key === "ArrowDown" && findings.firstElementChild) { event.preventDefault(); findings.querySelector("button").focus(); }
  });
  search.closest("form").addEventListener("submit", event => event.preventDefault());
  document.querySelectorAll("[data-item]").forEach(place => {
    const item = place.dataset.item;
    if (data.items[item]) place.replaceChildren(itemButton(item));
  });
  document.querySelectorAll("[data-user]").forEach(place => {
    const user = data.users.find(each => each.label === place.dataset.user);
    if (user) place.replaceChildren(button(nameOf(user), "link", () => showUser(user)));
  });
  explorer.hidden = false;
}
