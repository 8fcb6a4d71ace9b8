// The matrix: what is measured, on whom, how often. A scenario is { key, group, table, title, note, cases }; a case is { name, peer, rounds,
// args, options }: arguments for loadgen, options for the peer. `x` is where a scenario stands on the curve of its group.
//
// The cases of a scenario are run side by side in each round, and ratios are taken within it. What a target needs has all rounds; curves
// and onlookers have fewer, because all of it has to fit into 20 minutes.

const ALL = 5;
const SOME = 3;
const FEW = 2;

// { gateway: 5 } and arguments, to cases.
function cases(rounds, args, options) {
    return Object.entries(rounds).map(([peer, n]) => ({ name: peer, peer, rounds: n, args: args[peer] ?? args, options }));
}

function span({ seconds, quick }, warmup = 0.5, settle = 0.3) {
    return ['--settle', quick ? 0.1 : settle, '--warmup', quick ? 0.1 : warmup, '--duration', seconds];
}

const thousands = (n) => n.toLocaleString('en-US');

function live(scale) {
    const n = scale.quick ? 100 : 1000;
    const rooms = n / 2;
    const big = n * 10;
    return [
        {
            key: 'hot',
            title: `1 topic × ${thousands(n)} subscribers, 200 B, closed loop`,
            note: '20 messages are on their way at a time',
            cases: cases(
                { gateway: ALL, plugin: ALL, nchan: SOME, ws: FEW, socketio: FEW, floor: ALL, gather: ALL },
                ['--subscribers', n, '--window', 20, ...span(scale)],
            ),
        },
        {
            key: 'slow',
            title: `1 topic × ${thousands(n)} subscribers, 200 B, 10 messages/s`,
            note: 'nothing to gather: each delivery is one send',
            cases: cases(
                { gateway: ALL, plugin: ALL, nchan: SOME, ws: FEW, socketio: FEW, floor: ALL },
                ['--subscribers', n, '--rate', scale.quick ? 50 : 10, ...span(scale)],
            ),
        },
        {
            key: 'rooms',
            title: `${thousands(rooms)} rooms × 2 subscribers, 200 B, closed loop`,
            note: '10 publishers, 100 messages on their way at a time',
            columns: ['per_cpu_s'],
            cases: cases(
                { gateway: ALL, plugin: ALL, nchan: FEW, ws: FEW, socketio: FEW, floor: SOME, gather: FEW },
                ['--subscribers', n, '--rooms', rooms, '--publishers', 10, '--window', scale.quick ? 20 : 100, ...span(scale)],
            ),
        },
        {
            key: 'big',
            title: `1 topic × ${thousands(big)} subscribers, 200 B, 5 messages/s`,
            cases: cases({ gateway: ALL, nchan: ALL, floor: ALL }, ['--subscribers', big, '--rate', scale.quick ? 20 : 5, '--connecting', 256, ...span(scale)]),
        },
        {
            key: 'tls',
            title: '200 subscribers over TLS, 200 B, closed loop',
            note: 'TLS 1.3, AES-GCM; what a turn brought is one record',
            cases: cases({ gateway: ALL, gather: SOME }, ['--subscribers', scale.quick ? 50 : 200, '--window', 20, ...span(scale)], { tls: true }),
        },
    ].map((scenario) => ({ ...scenario, group: scenario.key, table: 'live' }));
}

function idle(scale) {
    const n = scale.quick ? 500 : 10000;
    const few = scale.quick ? 50 : 500;
    const idling = (count) => ['--subscribers', count, '--idle', '--settle', scale.quick ? 0.2 : 1];
    const beats = ['--heartbeat', scale.quick ? 1000 : 10000, '--idle', '--duration', scale.quick ? 1.2 : 10.5, '--settle', 0.2];
    return [
        {
            key: 'connect',
            table: 'idle',
            title: `connect, CONNECT and SUBSCRIBE to one topic: ${thousands(n)} connections, the plugin ${thousands(few)}`,
            cases: cases({ gateway: ALL, plugin: ALL, nchan: SOME, ws: FEW, socketio: FEW, floor: SOME }, {
                ...Object.fromEntries(['gateway', 'nchan', 'floor'].map((peer) => [peer, idling(n)])),
                ...Object.fromEntries(['plugin', 'ws', 'socketio'].map((peer) => [peer, idling(few)])),
            }),
        },
        {
            key: 'connect-tls',
            table: 'idle',
            title: `the same over TLS: ${thousands(n)} connections`,
            cases: cases({ gateway: ALL }, idling(n), { tls: true }),
        },
        {
            key: 'heartbeat',
            table: 'heartbeat',
            title: `${thousands(n)} silent connections with heart-beats every ${scale.quick ? 1 : 10} s, both ways`,
            cases: cases({ gateway: SOME }, ['--subscribers', n, '--rooms', Math.min(100, n), '--connecting', 256, ...beats]),
        },
    ].map((scenario) => ({ group: scenario.key, ...scenario }));
}

function hard(scale) {
    const n = scale.quick ? 100 : 500;
    const rooms = scale.quick ? 1000 : 100000;
    const storm = scale.quick ? 300 : 10000;
    const body = ['--body', scale.quick ? 16384 : 4096, '--rate', 200];
    const fast = ['--subscribers', n, ...body, '--settle', 0.3, '--warmup', scale.quick ? 0.2 : 1, '--duration', scale.quick ? 1 : 3];
    return [
        {
            key: 'stalled',
            table: 'stalled',
            title: `1 topic × ${n} subscribers, ${scale.quick ? 16 : 4} KiB, 200 messages/s, of whom 1 % read nothing`,
            cases: [
                { name: 'all read', peer: 'gateway', rounds: ALL, args: fast },
                { name: '1 % stalled', peer: 'gateway', rounds: ALL, args: [...fast, '--stalled', 0.01] },
            ],
        },
        {
            key: 'storm',
            table: 'storm',
            title: `a storm: ${thousands(storm)} clients connect, subscribe and go, ${scale.quick ? 50 : 256} at a time`,
            cases: cases({ gateway: SOME, nchan: FEW, floor: FEW }, ['--storm', storm, '--connecting', scale.quick ? 50 : 256]),
        },
        {
            key: 'recover',
            table: 'recover',
            title: `${thousands(rooms)} live rooms, the connection to the broker is cut`,
            cases: [{ name: 'gateway', peer: 'gateway', rounds: SOME, recover: { rooms, connections: scale.quick ? 10 : 400 } }],
        },
    ].map((scenario) => ({ group: scenario.key, ...scenario }));
}

// ---- curves: closed loop, one thing varied ----

function byConnections(scale) {
    // the hard limit of open files bounds what a server and a client of one process each can have
    // 1,000 is the scenario "hot"
    const points = scale.quick ? [10, 200] : [10, 100, 10000, scale.most];
    return points.map((n) => ({
        group: 'connections',
        x: n,
        title: `1 topic × ${thousands(n)}`,
        cases: cases(
            { gateway: n > 10000 ? FEW : SOME, nchan: n > 1000 ? 1 : FEW, gather: FEW },
            ['--subscribers', n, '--window', 20, '--connecting', 256, ...span(scale, n > 1000 ? 0.8 : 0.4)],
        ),
    }));
}

// Each destination has one subscriber, so that a message costs the same but for finding whom it is for.
function byDestinations(scale) {
    const points = scale.quick ? [1, 100, 1000] : [1, 1000, 100000];
    return points.map((n) => {
        const connections = Math.min(n, scale.quick ? 100 : 1000);
        const each = n / connections;
        const rooms = ['--subscribers', connections, '--rooms', n, '--publishers', Math.min(10, n), '--window', n > 1 ? 100 : 20];
        return {
            group: 'destinations',
            x: n,
            title: `${thousands(n)} destinations × 1`,
            columns: ['per_cpu_s'],
            // where so many keys make the gateway bind them all at once, it takes the single bindings away behind its subscribers
            cases: cases({ gateway: SOME }, [...rooms, ...(each > 1 ? ['--subscriptions', each] : []), ...span(scale, 0.5, n > 1000 ? 6 : 0.3)]),
        };
    });
}

function byBody(scale) {
    const points = scale.quick ? [16, 1048576] : [16, 256, 4096, 65536, 1048576];
    return points.map((bytes) => {
        const window = Math.max(1, Math.min(20, Math.floor(524288 / bytes)));
        const most = scale.quick ? 10 : 100;
        return {
            group: 'body',
            x: bytes,
            title: `1 topic × ${most}, ${thousands(bytes)} B`,
            cases: cases({ gateway: SOME, gather: FEW }, ['--subscribers', most, '--body', bytes, '--window', window, ...span(scale, 0.3)]),
        };
    });
}

function byReactors(scale) {
    const points = scale.quick ? [2] : [2, 4]; // 1 is the scenario "hot"
    return points.map((threads) => ({
        group: 'reactors',
        x: threads,
        title: `1 topic × 1,000, ${threads} reactors`,
        cases: cases({ gateway: SOME }, ['--subscribers', scale.quick ? 100 : 1000, '--window', 20, ...span(scale)], { threads }),
    }));
}

// They are counted over a second of their own behind the measured span, since counting costs time itself.
function bySyscalls(scale) {
    const n = scale.quick ? 50 : 1000;
    const counted = (load) => ['--subscribers', n, ...load, ...span({ ...scale, seconds: Math.min(0.5, scale.seconds) })];
    return [
        ['syscalls/hot', '1 topic × 1,000, closed loop', ['--window', 20]],
        ['syscalls/slow', '1 topic × 1,000, 10 messages/s', ['--rate', scale.quick ? 50 : 10]],
    ].map(([key, title, load]) => ({
        key,
        group: 'syscalls',
        table: 'syscalls',
        title,
        cases: cases({ gateway: 1, nchan: 1, floor: 1, gather: 1 }, counted(load)).map((one) => ({ ...one, syscalls: true })),
    }));
}

function curves(scale) {
    const all = [...byConnections(scale), ...byDestinations(scale), ...byBody(scale), ...byReactors(scale)];
    return all.map((scenario) => ({ key: `${scenario.group}/${scenario.x}`, table: 'curve', ...scenario }));
}

// scale: { quick, seconds measured, most connections }
export function scenarios(scale) {
    return [...live(scale), ...idle(scale), ...hard(scale), ...bySyscalls(scale), ...curves(scale)];
}

// Of a full run has 5 rounds; with others, a case has its share of them, and one at least.
export function takesPart(one, round, rounds) {
    return round < Math.max(1, Math.round((one.rounds * rounds) / ALL));
}
