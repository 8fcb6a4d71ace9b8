// Plots as SVG: curves on logarithmic axes, and rows of dots. The same figures give the same bytes, so that git sees only what changed.
//
// Each has a background of its own and follows the reader's light or dark scheme; series are named where they end, not in a legend.

const WIDTH = 760;
const HEIGHT = 420;
const FRAME = { left: 70, right: 590, top: 48, bottom: 366 };
const SERIES = 6;
const LINE = 15; // between two labels

const STYLE = `
  svg { --paper: #ffffff; --ink: #1f2328; --soft: #59636e; --grid: #dde2e8;
    --s0: #0969da; --s1: #bc4c00; --s2: #1a7f37; --s3: #8250df; --s4: #9a6700; --s5: #bf3989; }
  @media (prefers-color-scheme: dark) { svg { --paper: #0d1117; --ink: #e6edf3; --soft: #9198a1; --grid: #2a313c;
    --s0: #58a6ff; --s1: #ffa657; --s2: #56d364; --s3: #bc8cff; --s4: #e3b341; --s5: #ff9bce; } }
  text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink); }
  .title { font-size: 15px; font-weight: 600; } .soft { fill: var(--soft); }
  .grid { stroke: var(--grid); } .line { fill: none; stroke-width: 2; } .spread { stroke-width: 1; opacity: .6; }
${Array.from({ length: SERIES }, (_, i) => `  .s${i} { stroke: var(--s${i}); } .f${i} { fill: var(--s${i}); }`).join('\n')}
`;

function escaped(text) {
    return String(text).replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]);
}

function at(value) {
    return Number(value.toFixed(1));
}

function text(x, y, words, { kind = '', anchor = 'start' } = {}) {
    return `<text x="${at(x)}" y="${at(y)}"${kind && ` class="${kind}"`}${anchor === 'start' ? '' : ` text-anchor="${anchor}"`}>${escaped(words)}</text>`;
}

function line(x1, y1, x2, y2, kind) {
    return `<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" class="${kind}"/>`;
}

function document(title, height, parts) {
    return [
        `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(title)}">`,
        `<style>${STYLE}</style>`,
        `<rect width="${WIDTH}" height="${height}" fill="var(--paper)"/>`,
        text(FRAME.left, 26, title, { kind: 'title' }),
        ...parts,
        '</svg>',
        '',
    ].join('\n');
}

// ---- axes ----

export function shortNumber(value) {
    const [divisor, unit] = value >= 1e6 ? [1e6, ' M'] : value >= 1e3 ? [1e3, ' k'] : [1, ''];
    return `${Number((value / divisor).toPrecision(3))}${unit}`;
}

// 1, 2 and 5 in each decade that has something in it, from just below the least to just above the most.
export function logTicks(low, high) {
    const steps = [];
    for (let e = Math.floor(Math.log10(low)) - 1; e <= Math.ceil(Math.log10(high)) + 1; e++) {
        steps.push(...[1, 2, 5].map((m) => Number(`${m}e${e}`)));
    }
    const first = steps.findLastIndex((step) => step <= low);
    const last = steps.findIndex((step) => step >= high);
    return steps.slice(Math.min(first, last - 1), last + 1);
}

// A wide range keeps its decades alone.
function labelled(ticks) {
    const decades = ticks.filter((tick) => /^1(e|0*$)|^0\.0*1$/.test(String(tick)));
    return ticks.length > 8 && decades.length >= 2 ? decades : ticks;
}

function logScale(low, high, from, to) {
    const width = Math.log(high / low) || 1;
    return (value) => from + (Math.log(value / low) / width) * (to - from);
}

// ---- curves ----

function isOnLogAxis({ x, y }) {
    return x > 0 && y > 0;
}

function grid(yTicks, xs, y, x, axes) {
    const across = labelled(yTicks).flatMap((tick) => [
        line(FRAME.left, y(tick), FRAME.right, y(tick), 'grid'),
        text(FRAME.left - 8, y(tick) + 4, shortNumber(tick), { kind: 'soft', anchor: 'end' }),
    ]);
    const along = xs.flatMap((value) => [
        line(x(value), FRAME.bottom, x(value), FRAME.bottom + 5, 'grid'),
        text(x(value), FRAME.bottom + 20, axes.x.format(value), { kind: 'soft', anchor: 'middle' }),
    ]);
    return [
        ...across,
        ...along,
        text((FRAME.left + FRAME.right) / 2, FRAME.bottom + 42, axes.x.label, { kind: 'soft', anchor: 'middle' }),
        `<text transform="translate(18 ${(FRAME.top + FRAME.bottom) / 2}) rotate(-90)" class="soft" text-anchor="middle">${escaped(axes.y.label)}</text>`,
    ];
}

function curve(points, i, x, y) {
    const path = points.map((point, n) => `${n ? 'L' : 'M'}${at(x(point.x))} ${at(y(point.y))}`).join('');
    const spreads = points.filter(({ low, high }) => low > 0 && high > low).map((p) => line(x(p.x), y(p.low), x(p.x), y(p.high), `spread s${i}`));
    const dots = points.map((p) => `<circle cx="${at(x(p.x))}" cy="${at(y(p.y))}" r="3.5" class="f${i}"/>`);
    return [`<path d="${path}" class="line s${i}"/>`, ...spreads, ...dots];
}

// Names stand at the ends of their lines, pushed apart where these come close.
function names(drawn, y) {
    const wanted = drawn.map(({ label, points, i }) => ({ label, i, y: y(points.at(-1).y) + 4 })).sort((a, b) => a.y - b.y);
    let free = -Infinity;
    for (const name of wanted) {
        name.y = Math.max(name.y, free);
        free = name.y + LINE;
    }
    const over = Math.max(0, free - LINE - FRAME.bottom);
    return wanted.map((name) => text(FRAME.right + 10, name.y - over, name.label, { kind: `f${name.i}` }));
}

// { title, x: { label, format }, y: { label }, series: [{ label, points: [{ x, y, low, high }] }] }; '' when there is no point.
export function lines({ title, x, y, series }) {
    const drawn = series.map(({ label, points }, i) => ({ label, i, points: points.filter(isOnLogAxis) })).filter(({ points }) => points.length > 0);
    const all = drawn.flatMap(({ points }) => points);
    if (all.length === 0) {
        return '';
    }
    const xs = [...new Set(all.map((point) => point.x))].sort((a, b) => a - b);
    const heights = all.flatMap(({ y: value, low, high }) => [value, low, high]).filter((value) => value > 0);
    const ticks = logTicks(Math.min(...heights), Math.max(...heights));
    const toX = logScale(xs[0], xs.at(-1), FRAME.left + 12, FRAME.right - 12);
    const toY = logScale(ticks[0], ticks.at(-1), FRAME.bottom, FRAME.top);
    const parts = [...grid(ticks, xs, toY, toX, { x, y }), ...drawn.flatMap(({ points, i }) => curve(points, i, toX, toY)), ...names(drawn, toY)];
    return document(title, HEIGHT, parts);
}

// ---- rows of dots ----

const ROW = 19;
const DOTS_LEFT = 150;

function dotRow({ label, value, low, high, kind }, y, x) {
    const spread = low > 0 && high > low ? [line(x(low), y, x(high), y, `line s${kind}`)] : [];
    return [
        text(DOTS_LEFT - 10, y + 4, label, { anchor: 'end' }),
        ...spread,
        `<circle cx="${at(x(value))}" cy="${at(y)}" r="4.5" class="f${kind}"/>`,
        text(Math.max(x(value), high > 0 ? x(high) : 0) + 9, y + 4, shortNumber(value), { kind: 'soft' }),
    ];
}

// { title, x: { label }, groups: [{ label, rows: [{ label, value, low, high, kind }] }] }: kind is the number of a colour.
export function dots({ title, x, groups }) {
    const drawn = groups.map(({ label, rows }) => ({ label, rows: rows.filter(({ value }) => value > 0) })).filter(({ rows }) => rows.length > 0);
    const values = drawn.flatMap(({ rows }) => rows.flatMap(({ value, low, high }) => [value, low, high])).filter((value) => value > 0);
    if (values.length === 0) {
        return '';
    }
    const ticks = logTicks(Math.min(...values), Math.max(...values));
    const toX = logScale(ticks[0], ticks.at(-1), DOTS_LEFT, WIDTH - 70);
    const parts = [];
    let y = FRAME.top + 12;
    for (const { label, rows } of drawn) {
        parts.push(text(20, y, label, { kind: 'soft' }));
        rows.forEach((row, i) => parts.push(...dotRow(row, y + ROW * (i + 1), toX)));
        y += ROW * (rows.length + 1) + 14;
    }
    const below = { kind: 'soft', anchor: 'middle' };
    const across = labelled(ticks).flatMap((tick) => [
        line(toX(tick), FRAME.top, toX(tick), y - 8, 'grid'),
        text(toX(tick), y + 8, shortNumber(tick), below),
    ]);
    return document(title, y + 44, [...across, ...parts, text((DOTS_LEFT + WIDTH - 70) / 2, y + 30, x.label, below)]);
}
