// From single runs to medians, spreads and ratios. A run is what loadgen printed, with { key, case, round } of the scenario.

export function median(values) {
    const sorted = values.filter((value) => Number.isFinite(value)).sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

// { n, median, low, high }: the rounds are few, so that the least and the most are the honest spread. n is 0 where nothing was measured.
export function spread(values) {
    const known = values.filter((value) => Number.isFinite(value));
    return { n: known.length, median: median(known), low: Math.min(...known), high: Math.max(...known) };
}

export function isMeasured(run) {
    return !run.unavailable && !run.failed;
}

// The measured runs of a case.
export function runsOf(runs, key, name) {
    return runs.filter((run) => run.key === key && run.case === name && isMeasured(run));
}

export function spreadOf(runs, key, name, pick) {
    return spread(runsOf(runs, key, name).map(pick));
}

// pick(run of `name`) compared with pickOther(run of `other`) within each round: what disturbed the machine in a round disturbed both.
export function compared(runs, key, name, other, pick, pickOther = pick, how = (mine, its) => mine / its) {
    const others = new Map(runsOf(runs, key, other).map((run) => [run.round, run]));
    const pairs = runsOf(runs, key, name).filter((run) => others.has(run.round));
    return spread(pairs.map((run) => how(pick(run), pickOther(others.get(run.round)))));
}

// ---- what can be picked of a run ----

export const cpu = (run) => run.cpu?.us_per_delivery;
export const cpuOf = (process) => (run) => run.cpu?.[process]?.us_per_delivery;
export const delivered = (run) => run.delivered_per_s;
export const p = (key) => (run) => run.latency_us?.[key] / 1000;
export const processes = (run) => Object.keys(run.connect?.processes ?? {});

// Messages (not deliveries) for each second of all server processes' CPU.
export const perCpuSecond = (run) => (1e6 / cpu(run)) * (run.rooms / (run.subscribers * (run.subscriptions ?? 1)));

export const kibOf = (process) => (run) => run.connect?.processes[process]?.rss_bytes_per_connection / 1024;
export const connectCpuOf = (process) => (run) => run.connect?.processes[process]?.cpu_us_per_connection;
export const connectCpu = (run) => processes(run).reduce((sum, name) => sum + connectCpuOf(name)(run), 0);
export const connectsPerS = (run) => run.subscribers / run.connect?.seconds;

export const idleShareOf = (process) => (run) => run.idle?.processes[process]?.cpu_share;
export const stormCpu = (run) => Object.values(run.storm?.cpu_us_per_connection ?? {}).reduce((sum, us) => sum + us, 0);

// ---- the whole ----

function casesOf(runs) {
    const seen = new Map();
    for (const { key, case: name } of runs) {
        seen.set(`${key}\n${name}`, { key, name });
    }
    return [...seen.values()];
}

function summary(runs) {
    const of = (pick) => median(runs.map(pick));
    const names = processes(runs[0]);
    const by = (pick) => Object.fromEntries(names.map((name) => [name, of(pick(name))]));
    return {
        rounds: runs.length,
        rss_kib_per_connection: by(kibOf),
        connect_cpu_us: by(connectCpuOf),
        ...(runs[0].latency_us && {
            delivered_per_s: of(delivered),
            cpu_us_per_delivery: of(cpu),
            cpu_us_by_process: by(cpuOf),
            latency_ms: Object.fromEntries(['p50', 'p99', 'p99_9'].map((key) => [key, of(p(key))])),
        }),
    };
}

// { key: { case: summary } }, for a person who reads the file, and for other programs.
export function medians(runs) {
    const out = {};
    for (const { key, name } of casesOf(runs)) {
        const own = runsOf(runs, key, name);
        if (own.length > 0) {
            (out[key] ??= {})[name] = summary(own);
        }
    }
    return out;
}

// What a shape check looks at: everything that was sent came once, and nobody was thrown out but who read nothing.
function complaint(run) {
    if (!isMeasured(run)) {
        return run.failed ?? `not available: ${run.unavailable}`;
    }
    const { lost = 0, duplicated = 0, foreign = 0 } = run.total ?? {};
    const { closed = 0, given_up = false } = run; // the stalled are not among the closed
    const failed = run.storm?.failed ?? 0;
    if (lost || duplicated || foreign || closed || failed || given_up || run.delivered === 0) {
        return JSON.stringify({ ...run.total, closed, failed, given_up });
    }
    return undefined;
}

export function complaints(runs) {
    const found = runs.map((run) => ({ ...run, text: complaint(run) })).filter(({ text }) => text);
    return found.map((run) => `${run.key}, ${run.case}, round ${run.round + 1}: ${run.text}`);
}
