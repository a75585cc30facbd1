// The states of an allocator, and the changes from one to the next.

// The states of a block, by the number in the data. 0 is no block.
const SPLIT = 1;
const STATES = ["none", "split", "free, dirty", "free, clear", "allocated", "allocated, was clear"];
const SHORT = ["none", "split", "dirty", "clear", "taken", "taken"];

// The key of a block: twice the chunk in its middle. The lowest set bit gives the order.
const keyOf = (chunk, order) => 2 * chunk + 2 ** order;

// A trace with the states of its allocator.
class Trace {
  constructor(data) {
    this.data = data;
    this.chunk = BigInt(data.chunk);
    this.base = BigInt(data.base);
    this.steps = [...data.lines];
    if (data.end) {
      this.steps.push({ n: 0, w: "(everything is freed)", c: "", ...data.end });
    }
    // By key: the first chunk, order and state of each block.
    this.blocks = new Map();
    // What each step has replaced.
    this.undo = [];
    // How many steps are done; the step that has read the state last.
    this.done = 0;
    this.read = [];
    let read = -1;
    for (const [index, step] of this.steps.entries()) {
      if (step.d) read = index;
      this.read.push(read);
    }
  }

  get length() {
    return this.steps.length;
  }

  wasRun(step) {
    return !this.steps[step].x;
  }

  // Makes `blocks` the state after a step; -1 is before the first.
  go(step) {
    while (this.done <= step) this.undo[this.done] = this.apply(this.steps[this.done++].d ?? []);
    while (this.done > step + 1) this.apply(this.undo[--this.done]);
  }

  // Applies changes, and returns those that undo them.
  apply(changes) {
    const undo = new Array(changes.length);
    for (let i = 0; i < changes.length; i += 2) {
      const [chunk, order, state] = [changes[i], Math.floor(changes[i + 1] / 8), changes[i + 1] % 8];
      const key = keyOf(chunk, order);
      undo[i] = chunk;
      undo[i + 1] = order * 8 + (this.blocks.get(key)?.state ?? 0);
      if (state) this.blocks.set(key, { chunk, order, state });
      else this.blocks.delete(key);
    }
    return undo;
  }

  // The state after a step, as a copy. `other` is that of the other side.
  after(step, other) {
    this.go(step);
    if (!other) return new Map(this.blocks);
    const undo = this.apply(this.steps[step]?.e ?? []);
    const copy = new Map(this.blocks);
    this.apply(undo);
    return copy;
  }

  size(chunks) {
    return formatSize(BigInt(chunks) * this.chunk);
  }

  // Offsets include the base, as in the outcomes of the calls.
  offset(chunk) {
    return formatSize((BigInt(chunk) * this.chunk + this.base) % (1n << 64n));
  }

  range(block) {
    return `${this.offset(block.chunk)}..${this.offset(block.chunk + 2 ** block.order)}`;
  }
}

// A size with the largest suffix that leaves it whole, as in traces.
function formatSize(bytes) {
  let suffix = 0;
  while (bytes !== 0n && bytes % 1024n === 0n && suffix < 6) {
    bytes /= 1024n;
    suffix++;
  }
  return bytes + ["", "K", "M", "G", "T", "P", "E"][suffix];
}

// The blocks that are not split, by address.
function leavesOf(blocks) {
  const leaves = [...blocks.values()].filter((block) => block.state !== SPLIT);
  return leaves.sort((a, b) => a.chunk - b.chunk);
}

// A summary of a state, in words.
function summaryOf(trace, leaves) {
  const sum = { 2: 0, 3: 0, 4: 0 };
  let largest = 0;
  for (const block of leaves) {
    const size = 2 ** block.order;
    sum[Math.min(block.state, 4)] += size;
    if (block.state < 4) largest = Math.max(largest, size);
  }
  const blocks = leaves.length === 1 ? "1 block" : `${leaves.length} blocks`;
  return [
    blocks,
    `${trace.size(sum[4])} allocated`,
    `${trace.size(sum[2])} free dirty`,
    `${trace.size(sum[3])} free clear`,
    `largest free block ${trace.size(largest)}`,
  ];
}
