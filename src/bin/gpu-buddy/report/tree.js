// Shows the tree around the blocks that a call has touched, as a table.

// Maximum number of blocks in the table, and of levels above the touched blocks.
const MOST = 80;
const ABOVE = 3;

// The parent and the buddy of a block, by chunk and order.
const parentOf = ({ chunk, order }) => {
  const size = 2 ** (order + 1);
  return { chunk: Math.floor(chunk / size) * size, order: order + 1 };
};
const buddyOf = ({ chunk, order }) => {
  const size = 2 ** order;
  return { chunk: Math.floor(chunk / size) % 2 ? chunk - size : chunk + size, order };
};

// The touched blocks, their buddies and parents, up to some levels above all of them. `find` gives
// the block of a key. Returns the blocks by key, and the number of levels that are left out.
function neighbourhood(touched, find) {
  const rows = new Map();
  let left = 0;
  const at = ({ chunk, order }) => find(keyOf(chunk, order));
  const changed = [...touched].map(find).filter(Boolean);
  const low = changed.reduce((least, block) => Math.min(least, block.chunk), Infinity);
  const high = changed.reduce((most, block) => Math.max(most, block.chunk + 2 ** block.order), 0);
  for (const first of changed) {
    let levels = 0;
    for (let block = first; block && rows.size < MOST; block = at(parentOf(block))) {
      const hasAll = block.chunk <= low && block.chunk + 2 ** block.order >= high;
      if (hasAll && levels++ > ABOVE) {
        for (left = 0; block; block = at(parentOf(block))) left++;
        break;
      }
      for (const one of [block, at(buddyOf(block))]) {
        if (one) rows.set(keyOf(one.chunk, one.order), one);
      }
    }
  }
  return [rows, left];
}

// `sides` has the states with their names. `before` is the state before the call.
function drawTree(parent, trace, touched, sides, before) {
  parent.replaceChildren();
  if (touched.size === 0) return;
  const find = (key) => sides.map(([, blocks]) => blocks.get(key)).find(Boolean) ?? before.get(key);
  const [rows, left] = neighbourhood(touched, find);
  const narrow = window.innerWidth <= 800;
  const open = [];
  const sorted = [...rows].sort(([, a], [, b]) => a.chunk - b.chunk || b.order - a.order);
  const body = sorted.map(([key, block]) => {
    while (open.length && open.at(-1) <= block.chunk) open.pop();
    const name = make("th", "", narrow ? trace.offset(block.chunk) : trace.range(block));
    name.scope = "row";
    name.style.paddingLeft = `${open.length * (narrow ? 5 : 16)}px`;
    open.push(block.chunk + 2 ** block.order);
    const cells = sides.map(([, blocks]) => {
      const state = blocks.get(key)?.state;
      if (!state) return make("td", "", "–");
      return make("td", "", make("span", `swatch s${state}`), (narrow ? SHORT : STATES)[state]);
    });
    return make("tr", touched.has(key) ? "touched" : "", name,
      make("td", "", trace.size(2 ** block.order)),
      make("td", "wide", String(block.order)), ...cells);
  });
  const column = (text) => {
    const cell = make("th", text === "Order" ? "wide" : "", text);
    cell.scope = "col";
    return cell;
  };
  const columns = ["Block", "Size", "Order", ...sides.map(([name]) => name)].map(column);
  parent.append(make("h3", "", "Tree around the blocks touched"));
  if (left > 0) {
    parent.append(make("p", "muted", `${left} ${left === 1 ? "level" : "levels"} above, all split`));
  }
  parent.append(make("table", "",
    make("thead", "", make("tr", "", ...columns)), make("tbody", "", ...body)));
  const more = [...touched].filter((key) => !rows.has(key)).length;
  if (more > 0) parent.append(make("p", "muted", `and ${more} more blocks that this call changes`));
}
