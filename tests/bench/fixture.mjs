// Runs as loadgen prints them, with round figures, for the tests of what is made of them.

export function live({ key = 'hot', name, round = 0, us, parts = { [name]: us }, p99 = 2000, ...more }) {
    const cpu = Object.fromEntries(Object.entries(parts).map(([process, of]) => [process, { us_per_delivery: of }]));
    const connect = Object.fromEntries(Object.keys(parts).map((process) => [process, { cpu_us_per_connection: 50, rss_bytes_per_connection: 4096 }]));
    return {
        key,
        group: key.split('/')[0],
        case: name,
        round,
        load_before: 0.5,
        subscribers: 1000,
        rooms: 1,
        delivered: 1000,
        delivered_per_s: 1e6 / us,
        latency_us: { p50: 1000, p99, p99_9: 3000 },
        cpu: { ...cpu, us_per_delivery: us },
        connect: { seconds: 0.5, processes: connect },
        total: { lost: 0, duplicated: 0, foreign: 0 },
        closed: 0,
        ...more,
    };
}

export function gateway(us, more = {}) {
    return live({ name: 'gateway', us, parts: { gateway: us * 0.8, broker: us * 0.2 }, ...more });
}

export const scenario = (key, names, more = {}) => ({ key, group: key, table: 'live', title: `the scenario ${key}`, cases: names.map((name) => ({ name, peer: name })), ...more });

export const machine = {
    cpu: 'a processor', cores: 2, memory: '4 GiB', kernel: '6.1', distribution: 'Debian', open_files: 20000, stompgate: 'stompgate 0.1.0', commit: 'abc',
    compiler: 'gcc', libwebsockets: '4.1.6', openssl: '3.0', rabbitmq: '3.10', erlang: '25', nginx: '1.22', nchan: '1.3', node: '20', ws: '8', socketio: '4',
};

export function results(runs, scenarios) {
    return {
        date: '2026-01-02T03:04:05.000Z', machine, options: { quick: false, rounds: 5, seconds: 2 }, idle_broker: { seconds: 5, cpu_share: 0.003 }, elapsed_s: { all: 60 },
        scenarios, runs,
    };
}
