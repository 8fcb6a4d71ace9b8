// From single runs to medians and ratios, and those to a table that is Markdown as well.

export function median(values) {
    const sorted = values.filter((value) => Number.isFinite(value)).sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function number(value, digits = 3) {
    if (!Number.isFinite(value)) {
        return '–';
    }
    if (value === 0) {
        return '0';
    }
    const places = Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(value))));
    return Number(value.toFixed(Math.min(places, 6))).toLocaleString('en-US', { maximumFractionDigits: 6 });
}

// The runs of one scenario and peer, as medians.
export function summarize(runs) {
    const of = (pick) => median(runs.map(pick));
    if (!runs[0].latency_us) {
        const bytes = (name) => of((run) => run.connect.processes[name]?.rss_bytes_per_connection);
        const cpu = (run) => Object.values(run.connect.processes).reduce((sum, one) => sum + one.cpu_us_per_connection, 0);
        const names = Object.keys(runs[0].connect.processes);
        return { rss_bytes_per_connection: Object.fromEntries(names.map((name) => [name, bytes(name)])), connect_cpu_us: of(cpu) };
    }
    const cpu = (name) => of((run) => run.cpu[name]?.us_per_delivery);
    const names = Object.keys(runs[0].connect.processes);
    return {
        delivered_per_s: of((run) => run.delivered_per_s),
        cpu_us_per_delivery: of((run) => run.cpu.us_per_delivery),
        cpu_us_by_process: Object.fromEntries(names.map((name) => [name, cpu(name)])),
        latency_us: Object.fromEntries(['p50', 'p99', 'p99_9'].map((key) => [key, of((run) => run.latency_us[key])])),
        lost: runs.reduce((sum, run) => sum + run.total.lost, 0),
        duplicated: runs.reduce((sum, run) => sum + run.total.duplicated, 0),
    };
}

function print(head, rows) {
    const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i].length)));
    const line = (cells) => `| ${cells.map((cell, i) => (i ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join(' | ')} |`;
    const rule = `|${widths.map((width, i) => (i ? `${'-'.repeat(width + 1)}:` : '-'.repeat(width + 2))).join('|')}|`;
    return [line(head), rule, ...rows.map(line)].join('\n');
}

// Medians of the ratios within each round: what disturbed the machine in a round disturbed all of its peers.
function ratio(runs, peer, other, pick) {
    const mine = runs.filter((run) => run.peer === peer);
    const pairs = mine.map((run) => [run, runs.find((its) => its.peer === other && its.round === run.round)]);
    return median(pairs.filter(([, its]) => its).map(([run, its]) => pick(its) / pick(run)));
}

const cpuOf = (run) => run.cpu.us_per_delivery;

function liveRow(scenario, peer, summary, runs) {
    const split = Object.entries(summary.cpu_us_by_process);
    const parts = split.length > 1 ? ` (${split.map(([name, us]) => `${name} ${number(us)}`).join(', ')})` : '';
    const ms = Object.values(summary.latency_us).map((us) => number(us / 1000));
    const less = ratio(runs, peer, 'plugin', cpuOf);
    const more = 1 / ratio(runs, peer, 'floor', cpuOf);
    return [
        `${scenario}: ${peer}`,
        number(summary.delivered_per_s),
        number(summary.cpu_us_per_delivery) + parts,
        ms.join(' / '),
        `${summary.lost} / ${summary.duplicated}`,
        peer === 'plugin' ? '1' : number(less),
        peer === 'floor' ? '1' : number(more),
    ];
}

function idleRow(scenario, peer, summary) {
    // a broker's heap shrinks as well: below zero there is nothing to tell from zero
    const kib = Object.entries(summary.rss_bytes_per_connection).map(([name, bytes]) => `${name} ${bytes > 0 ? number(bytes / 1024) : '~0'}`);
    return [`${scenario}: ${peer}`, kib.join(', '), number(summary.connect_cpu_us)];
}

// { scenario: { peer: summary } }
export function summaries(runs) {
    const out = {};
    for (const run of runs) {
        out[run.scenario] ??= {};
        out[run.scenario][run.peer] ??= summarize(runs.filter((other) => other.scenario === run.scenario && other.peer === run.peer));
    }
    return out;
}

export function render(runs) {
    const live = [];
    const idle = [];
    for (const [scenario, byPeer] of Object.entries(summaries(runs))) {
        const own = runs.filter((run) => run.scenario === scenario);
        for (const [peer, summary] of Object.entries(byPeer)) {
            if (summary.latency_us) {
                live.push(liveRow(scenario, peer, summary, own));
            } else {
                idle.push(idleRow(scenario, peer, summary));
            }
        }
    }
    const tables = [];
    if (live.length > 0) {
        const head = ['', 'delivered/s', 'CPU µs per delivery', 'p50 / p99 / p99.9 ms', 'lost / twice', 'times less CPU than the plugin', 'times the CPU of the floor'];
        tables.push(print(head, live));
    }
    if (idle.length > 0) {
        tables.push(print(['idle', 'KiB RSS per connection', 'CPU µs to set one up'], idle));
    }
    return tables.join('\n\n');
}
