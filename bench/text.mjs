// Numbers and tables as text that is Markdown as well.

// Three digits that count: 0.0123, 1.23, 12.3, 12,345.
export function number(value, digits = 3) {
    if (!Number.isFinite(value)) {
        return '–';
    }
    if (value === 0) {
        return '0';
    }
    const places = Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(value))));
    return Number(value.toFixed(Math.min(places, 6))).toLocaleString('en-US', { maximumFractionDigits: 6 });
}

// A spread of results.mjs: "1.23 (1.1–1.4)".
export function ranged({ n, median, low, high }) {
    return n > 1 && number(low) !== number(high) ? `${number(median)} (${number(low)}–${number(high)})` : number(median);
}

// 12,345,678 is hard to read in a row of others.
export function rate(value) {
    return value >= 1e6 ? `${number(value / 1e6)} M` : value >= 1e4 ? `${number(value / 1e3)} k` : number(value);
}

export function table(head, rows) {
    const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i].length)));
    const line = (cells) => `| ${cells.map((cell, i) => (i ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join(' | ')} |`;
    const rule = `|${widths.map((width, i) => (i ? `${'-'.repeat(width + 1)}:` : '-'.repeat(width + 2))).join('|')}|`;
    return [line(head), rule, ...rows.map(line)].join('\n');
}
