// What was wanted, line by line, and whether it was reached: computed from the runs, so that nobody can be kind to a figure.
import { compared, connectCpu, connectCpuOf, cpu, cpuOf, idleShareOf, kibOf, p, perCpuSecond, spread, runsOf, spreadOf } from './results.mjs';
import { ranged, table } from './text.mjs';

const MOST = 'most';
const LEAST = 'least';
const minus = (mine, its) => mine - its;

// scenario, goal, how it is measured, limit, unit.
const HOT = '1 topic × 1,000, closed loop';
const HOT100 = 'the same with 100 messages on their way, not 20';
const SLOW = '1 topic × 1,000, 10 messages/s';

const TARGETS = [
    [HOT, 'gateway, against the gathered loop', (r) => compared(r, 'hot', 'gateway', 'gather', cpuOf('gateway'), cpu), MOST, 1.2, '×'],
    [HOT, 'all, against the gathered loop', (r) => compared(r, 'hot', 'gateway', 'gather', cpu), MOST, 1.5, '×'],
    [HOT, 'all, less CPU than Web STOMP', (r) => compared(r, 'hot', 'plugin', 'gateway', cpu), LEAST, 75, '×'],
    [HOT, 'deliveries per gateway core', (r) => spreadOf(r, 'hot', 'gateway', (run) => 1 / cpuOf('gateway')(run)), LEAST, 3, ' M/s'],
    [HOT100, 'deliveries per gateway core', (r) => spreadOf(r, 'hot100', 'gateway', (run) => 1 / cpuOf('gateway')(run)), LEAST, 3, ' M/s'],
    [SLOW, 'gateway, against the bare send loop', (r) => compared(r, 'slow', 'gateway', 'floor', cpuOf('gateway'), cpu), MOST, 1.2, '×'],
    [SLOW, 'all, against the bare send loop', (r) => compared(r, 'slow', 'gateway', 'floor', cpu), MOST, 1.4, '×'],
    [SLOW, 'p99, above that of the bare loop', (r) => compared(r, 'slow', 'gateway', 'floor', p('p99'), p('p99'), minus), MOST, 1, ' ms'],
    ['500 rooms × 2, closed loop', 'messages per CPU second, against Web STOMP', (r) => compared(r, 'rooms', 'gateway', 'plugin', perCpuSecond), LEAST, 3, '×'],
    ['1 topic × 10,000, 5 messages/s', 'all, against Nchan', (r) => compared(r, 'big', 'gateway', 'nchan', cpu), MOST, 1, '×'],
    ['connect + CONNECT + SUBSCRIBE', 'gateway CPU', (r) => spreadOf(r, 'connect', 'gateway', connectCpuOf('gateway')), MOST, 60, ' µs'],
    ['connect + CONNECT + SUBSCRIBE', 'all, less CPU than Web STOMP', (r) => compared(r, 'connect', 'plugin', 'gateway', connectCpu), LEAST, 45, '×'],
    ['10,000 idle subscribed connections', 'gateway memory for each, plain', (r) => spreadOf(r, 'connect', 'gateway', kibOf('gateway')), MOST, 4.5, ' KiB'],
    ['10,000 idle subscribed connections', 'gateway memory for each, TLS', (r) => spreadOf(r, 'connect-tls', 'gateway', kibOf('gateway')), MOST, 20, ' KiB'],
    ['TLS, 200 subscribers, closed loop', 'gateway CPU per delivery', (r) => spreadOf(r, 'tls', 'gateway', cpuOf('gateway')), MOST, 0.4, ' µs'],
    ['100,000 rooms, broker connection cut', 'every room hears again after the reconnect', (r) => recovered(r, 'all_heard_ms'), MOST, 1000, ' ms'],
    ['100,000 rooms, broker connection cut', "other clients' slowest publish", (r) => recovered(r, 'publish_max_ms'), MOST, 50, ' ms'],
    ['10,000 silent connections, heart-beats', 'gateway, of a core', (r) => spreadOf(r, 'heartbeat', 'gateway', (run) => 100 * idleShareOf('gateway')(run)), MOST, 3, ' %'],
    ['1 % of the subscribers read nothing', 'p99 of the others, against none stalled', (r) => compared(r, 'stalled', '1 % stalled', 'all read', p('p99')), MOST, 1.2, '×'],
    ['1 % of the subscribers read nothing', 'of them closed', (r) => spreadOf(r, 'stalled', '1 % stalled', (run) => (100 * run.stalled.closed) / run.stalled.n), LEAST, 100, ' %'],
    ['1 % of the subscribers read nothing', 'memory for each (limits.out_queue_bytes: 1 MiB)', (r) => grown(r), MOST, 1, ' MiB'],
];

function recovered(runs, key) {
    return spread(runsOf(runs, 'recover', 'gateway').map((run) => run.recover?.[key]));
}

function grown(runs) {
    const peak = (run) => run.peak_rss_bytes?.gateway / 2 ** 20;
    const stalled = runsOf(runs, 'stalled', '1 % stalled')[0]?.stalled.n ?? NaN;
    return compared(runs, 'stalled', '1 % stalled', 'all read', peak, peak, (mine, its) => (mine - its) / stalled);
}

// [{ scenario, goal, wanted, measured, reached }]; reached is undefined where nothing was measured.
export function verdicts(runs) {
    return TARGETS.map(([scenario, goal, measure, side, limit, unit]) => {
        const measured = measure(runs);
        const isReached = side === MOST ? measured.median <= limit : measured.median >= limit;
        return {
            scenario,
            goal,
            wanted: `at ${side} ${limit}${unit}`,
            measured: measured.n > 0 ? `${ranged(measured)}${unit}` : 'not available',
            reached: measured.n > 0 ? isReached : undefined,
        };
    });
}

function word(reached) {
    return reached === undefined ? '' : reached ? 'reached' : '**not reached**';
}

export function targetTable(runs) {
    const rows = verdicts(runs).map((line) => [line.scenario, line.goal, line.wanted, line.measured, word(line.reached)]);
    return table(['scenario', 'what', 'wanted', 'median (least–most)', ''], rows);
}
