// The tables of the scenarios, by their kind.
import {
    compared,
    connectCpu,
    connectCpuOf,
    connectsPerS,
    cpu,
    cpuOf,
    delivered,
    idleShareOf,
    isMeasured,
    kibOf,
    median,
    p,
    perCpuSecond,
    processes,
    runsOf,
    spread,
    stormCpu,
} from './results.mjs';
import { number, ranged, rate, table } from './text.mjs';

const BY_CASE = {
    live: { head: liveHead, row: liveRow },
    idle: { head: () => ['', 'KiB RSS per connection', 'CPU µs to set one up', 'connections/s', 'times less CPU than the plugin'], row: idleRow },
    heartbeat: { head: () => ['', '% of a core', 'KiB RSS per connection'], row: heartbeatRow },
    stalled: { head: () => ['', 'delivered/s', 'CPU µs per delivery', 'p50 / p99 / p99.9 ms', 'stalled, closed', 'peak MiB RSS'], row: stalledRow },
    storm: { head: () => ['', 'connections/s', 'CPU µs per connection'], row: stormRow },
    syscalls: { head: () => ['', 'system calls per delivery'], row: syscallsRow },
    recover: { head: () => ['', 'measured'], row: recoverRow },
};

function byProcess(runs, pick) {
    const names = processes(runs[0]);
    const parts = names.map((name) => `${name} ${number(median(runs.map(pick(name))))}`);
    return names.length > 1 ? `: ${parts.join(', ')}` : '';
}

// ---- live ----

const OTHERS = ['floor', 'gather', 'nchan'];

function liveHead(scenario, names) {
    const others = OTHERS.filter((other) => names.includes(other)).map((other) => `× ${other}`);
    const plugin = names.includes('plugin') ? ['times less than the plugin'] : [];
    const perCpu = scenario.columns?.includes('per_cpu_s') ? ['messages per CPU s'] : [];
    return ['', 'delivered/s', ...perCpu, 'CPU µs per delivery', 'p50 / p99 / p99.9 ms', 'lost / twice', ...others, ...plugin];
}

function latencies(runs) {
    return ['p50', 'p99', 'p99_9'].map((key) => number(median(runs.map(p(key))))).join(' / ');
}

function total(runs, key) {
    return runs.reduce((sum, run) => sum + (run.total?.[key] ?? 0), 0);
}

function liveRow(scenario, name, names, runs, own) {
    const to = (other) => (other === name ? '1' : number(compared(runs, scenario.key, name, other, cpu).median));
    const less = () => (name === 'plugin' ? '1' : number(compared(runs, scenario.key, 'plugin', name, cpu).median));
    return [
        name,
        rate(median(own.map(delivered))),
        ...(scenario.columns?.includes('per_cpu_s') ? [rate(median(own.map(perCpuSecond)))] : []),
        ranged(spread(own.map(cpu))) + byProcess(own, cpuOf),
        latencies(own),
        `${total(own, 'lost')} / ${total(own, 'duplicated')}`,
        ...OTHERS.filter((other) => names.includes(other)).map(to),
        ...(names.includes('plugin') ? [less()] : []),
    ];
}

// ---- the others ----

function memory(own) {
    // a broker's heap shrinks as well: below zero there is nothing to tell from zero
    return processes(own[0])
        .map((name) => [name, median(own.map(kibOf(name)))])
        .map(([name, kib]) => `${name} ${kib > 0 ? number(kib) : '~0'}`)
        .join(', ');
}

function idleRow(scenario, name, names, runs, own) {
    return [
        name,
        memory(own),
        ranged(spread(own.map(connectCpu))) + byProcess(own, connectCpuOf),
        rate(median(own.map(connectsPerS))),
        name === 'plugin' || !names.includes('plugin') ? '' : number(compared(runs, scenario.key, 'plugin', name, connectCpu).median),
    ];
}

function heartbeatRow(scenario, name, names, runs, own) {
    const share = processes(own[0]).map((process) => `${process} ${ranged(spread(own.map((run) => 100 * idleShareOf(process)(run))))}`);
    return [name, share.join(', '), memory(own)];
}

function stalledRow(scenario, name, names, runs, own) {
    const stalled = own[0].stalled?.n ? `${own[0].stalled.n}, ${own.map((run) => run.stalled.closed).join(' ')}` : '0';
    const peak = spread(own.map((run) => run.peak_rss_bytes?.gateway / 2 ** 20));
    return [name, rate(median(own.map(delivered))), ranged(spread(own.map(cpu))), latencies(own), stalled, ranged(peak)];
}

function stormRow(scenario, name, names, runs, own) {
    const parts = Object.keys(own[0].storm.cpu_us_per_connection);
    const each = parts.map((process) => `${process} ${number(median(own.map((run) => run.storm.cpu_us_per_connection[process])))}`);
    return [name, rate(median(own.map((run) => run.storm.per_s))), ranged(spread(own.map(stormCpu))) + (parts.length > 1 ? `: ${each.join(', ')}` : '')];
}

function syscallsRow(scenario, name, names, runs, own) {
    const counted = Object.entries(own[0].syscalls_per_delivery ?? {}).map(([process, n]) => `${process} ${n === null ? 'not counted here' : number(n)}`);
    return [name, counted.join(', ')];
}

function recoverRow(scenario, name, names, runs, own) {
    const facts = Object.entries(own[0].recover).filter(([, value]) => typeof value === 'number');
    return [name, facts.map(([key, value]) => `${key} ${number(value)}`).join(', ')];
}

// ---- all ----

function missing(runs, key, name) {
    const why = runs.find((run) => run.key === key && run.case === name && !isMeasured(run));
    return why?.unavailable ? 'not available' : why ? 'failed' : 'not measured';
}

// The table of one scenario, or '' where nobody took part.
export function scenarioTable(scenario, runs) {
    const kind = BY_CASE[scenario.table];
    const names = scenario.cases.map(({ name }) => name).filter((name) => runs.some((run) => run.key === scenario.key && run.case === name));
    const head = kind?.head(scenario, names);
    if (!kind || names.length === 0) {
        return '';
    }
    const rows = names.map((name) => {
        const own = runsOf(runs, scenario.key, name);
        const none = () => [name, missing(runs, scenario.key, name), ...head.slice(2).map(() => '')];
        return own.length > 0 ? kind.row(scenario, name, names, runs, own) : none();
    });
    return table(head, rows);
}

// One line while it runs.
export function brief(run) {
    if (!isMeasured(run)) {
        return (run.failed ?? `not available: ${run.unavailable}`).split('\n').slice(0, 3).join(' | ');
    }
    if (run.recover) {
        return JSON.stringify(run.recover);
    }
    if (run.storm) {
        return `${rate(run.storm.per_s)} connections/s, ${number(stormCpu(run))} µs each`;
    }
    if (run.latency_us) {
        return `${rate(delivered(run))}/s, ${number(cpu(run))} µs${byProcess([run], cpuOf)}, p50 ${number(p('p50')(run))} ms, p99 ${number(p('p99')(run))} ms`;
    }
    const shares = run.idle ? processes(run).map((name) => `${name} ${number(100 * idleShareOf(name)(run))} %`) : [];
    return `${[memory([run]), ...shares].join(', ')}; ${number(connectCpu(run))} µs to set one up`;
}

