// Draws the space as rows of blocks. Colour and pattern show the state of a block.

const ROW = 26;
const GAP = 5;
const GUTTER = 62;

// A variable of the style sheet.
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// The fills, as in the pictures of `gpu-buddy map`: free, dirty blocks are hatched.
function fills(context, ratio) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8 * ratio;
  const pen = tile.getContext("2d");
  pen.scale(ratio, ratio);
  pen.strokeStyle = style("--hatch");
  pen.lineWidth = 2;
  pen.beginPath();
  for (const x of [-8, 0, 8]) {
    pen.moveTo(x - 1, 9);
    pen.lineTo(x + 9, -1);
  }
  pen.stroke();
  const hatch = context.createPattern(tile, "repeat");
  hatch.setTransform(new DOMMatrix().scale(1 / ratio));
  const allocated = [style("--allocated")];
  return { 2: [style("--free-dirty"), hatch], 3: [style("--free-clear")], 4: allocated, 5: allocated };
}

// The text colour on a block.
const inkOn = (state) => style(state >= 4 ? "--on-allocated" : "--on-free");

// The number of chunks in a row: a power of two, so that buddies stay together.
function chunksInRow(chunks, width) {
  const most = width < 500 ? 12 : 8;
  const rows = Math.min(most, Math.max(1, 2 ** Math.floor(Math.log2(chunks) / 2 - 2)));
  return 2 ** Math.ceil(Math.log2(chunks / rows));
}

function sized(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return [context, ratio];
}

// The part of the space around the touched blocks, in one row; `undefined` if they are visible
// in the map, or far apart.
function partAround(trace, sides, touched) {
  let [low, high] = [Infinity, 0];
  for (const leaves of sides) {
    for (const block of leaves) {
      if (!touched.has(keyOf(block.chunk, block.order))) continue;
      low = Math.min(low, block.chunk);
      high = Math.max(high, block.chunk + 2 ** block.order);
    }
  }
  let size = 2 ** Math.ceil(Math.log2(high - low));
  const start = () => Math.floor(low / size) * size;
  while (start() + size < high) size *= 2;
  size *= 4;
  if (!(size * 8 <= trace.data.chunks)) return undefined;
  return { start: start(), chunks: Math.min(size, trace.data.chunks - start()), row: size };
}

// Draws a map, or a part of it. `touched` has the keys of the blocks that get a frame. Returns a
// function that finds the block at a point.
function drawMap(canvas, trace, all, touched, part) {
  const width = Math.max(canvas.clientWidth, 100);
  const { start, chunks } = part ?? { start: 0, chunks: trace.data.chunks };
  const inRow = part ? part.row : chunksInRow(chunks, width);
  const rows = Math.ceil(chunks / inRow);
  const leaves = part ? all.filter((block) =>
    block.chunk < start + chunks && block.chunk + 2 ** block.order > start) : all;
  const gutter = rows > 1 || part ? GUTTER : 0;
  const scale = (width - gutter - 2) / inRow;
  const [context, ratio] = sized(canvas, width, rows * (ROW + GAP));
  const fill = fills(context, ratio);
  const [edge, frame, mono] = ["--page", "--frame", "--mono"].map(style);
  context.font = `11px ${mono}`;
  context.textBaseline = "middle";
  context.fillStyle = style("--muted");
  for (let row = 0; gutter && row < rows; row++) {
    context.fillText(trace.offset(start + row * inRow), 0, row * (ROW + GAP) + ROW / 2, gutter - 6);
  }
  const rect = (block, draw) => {
    const begin = Math.max(0, block.chunk - start);
    const end = Math.min(block.chunk + 2 ** block.order - start, chunks);
    for (let row = Math.floor(begin / inRow); row * inRow < end && row < rows; row++) {
      const from = Math.max(begin, row * inRow) - row * inRow;
      const to = Math.min(end, (row + 1) * inRow) - row * inRow;
      const isFirst = row * inRow <= begin;
      draw(gutter + 1 + from * scale, row * (ROW + GAP) + 1, (to - from) * scale, row, isFirst);
    }
  };
  const paint = (x, y, w, h, state) => {
    for (const layer of fill[state]) {
      context.fillStyle = layer;
      context.fillRect(x, y, w, h);
    }
  };
  // Blocks smaller than a pixel are added up per pixel.
  const small = new Map();
  const frames = [];
  for (const block of leaves) {
    if (touched.has(keyOf(block.chunk, block.order))) frames.push(block);
    rect(block, (x, y, w, row, isFirst) => {
      if (w < 1.5) {
        const key = row * 65536 + Math.floor(x);
        const sums = small.get(key) ?? small.set(key, { 2: 0, 3: 0, 4: 0 }).get(key);
        sums[Math.min(block.state, 4)] += w;
        return;
      }
      paint(x, y, w, ROW - 2, block.state);
      if (w >= 4) {
        context.strokeStyle = edge;
        context.lineWidth = 1;
        context.strokeRect(x, y, w, ROW - 2);
      }
      const text = trace.size(2 ** block.order);
      if (isFirst && w > 9 * text.length + 10) {
        context.textAlign = "center";
        context.lineWidth = 4;
        context.lineJoin = "round";
        context.strokeStyle = fill[block.state][0];
        context.strokeText(text, x + w / 2, y + ROW / 2);
        context.fillStyle = inkOn(block.state);
        context.fillText(text, x + w / 2, y + ROW / 2);
        context.textAlign = "start";
      }
    });
  }
  for (const [key, sums] of small) {
    const all = sums[2] + sums[3] + sums[4];
    let y = Math.floor(key / 65536) * (ROW + GAP) + 1;
    for (const state of [4, 3, 2]) {
      const height = ((ROW - 2) * sums[state]) / all;
      paint(key % 65536, y, 1, height, state);
      y += height;
    }
  }
  context.strokeStyle = frame;
  for (const block of frames) {
    rect(block, (x, y, w) => {
      const line = w < 12 ? 1.2 : 2.5;
      context.lineWidth = line;
      context.strokeRect(x + line / 2 - 0.5, y, Math.max(w - line + 1, 1), ROW - 2);
    });
  }
  return (x, y) => {
    const row = Math.floor(y / (ROW + GAP));
    const chunk = start + Math.floor(row * inRow + (x - gutter - 1) / scale);
    return x < gutter ? undefined
      : leaves.find((block) => block.chunk <= chunk && chunk < block.chunk + 2 ** block.order);
  };
}

function drawLegend(parent) {
  parent.replaceChildren();
  const entry = (text, draw) => {
    const canvas = make("canvas");
    parent.append(make("span", "", canvas, text));
    const [context, ratio] = sized(canvas, 34, 18);
    draw(context, fills(context, ratio));
  };
  for (const [state, text] of [[4, "allocated"], [2, "free, dirty"], [3, "free, clear"]]) {
    entry(text, (context, fill) => {
      for (const layer of fill[state]) {
        context.fillStyle = layer;
        context.fillRect(0, 0, 34, 18);
      }
    });
  }
  entry("changed by this call", (context) => {
    context.strokeStyle = style("--frame");
    context.lineWidth = 2.5;
    context.strokeRect(2, 2, 30, 14);
  });
}
