// Very many rooms, and the AMQP connection that feeds them is cut: when does every room hear again, and what do others feel of it?
//
//   node bench/recover.mjs DIR [--rooms N] [--connections N] [--bind-max N] [--seconds S] [--hold]
//
// STOMPGATE_BIN_DIR names the build. --hold waits for a line on stdin before the part that is timed. Prints one JSON object; run.mjs
// calls recover() instead, with the services that it has.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { peers, root, Services, sleep } from './peers.mjs';

const TICK_US = 10000;

function processes(pids) {
    const one = (pid) => {
        const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
        return { cpu_us: (Number(fields[11]) + Number(fields[12])) * TICK_US, rss: Number(fields[21]) * 4096 };
    };
    return Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, one(pid)]));
}

function difference(after, before, field) {
    return Object.fromEntries(Object.keys(after).map((name) => [name, after[name][field] - before[name][field]]));
}

// The client of bench/recover/, its commands and its answers.
class Client {
    constructor(bin, args) {
        this.child = spawn(path.join(bin, 'bench/recover/recover'), args.map(String), { stdio: ['pipe', 'pipe', 'inherit'] });
        this.ended = once(this.child, 'exit');
        this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
    }

    async answer() {
        const { value, done } = await this.lines.next();
        if (done) {
            throw new Error('the client ended before its time');
        }
        return JSON.parse(value);
    }

    say(line) {
        this.child.stdin.write(`${line}\n`);
    }

    async stop() {
        this.child.kill('SIGTERM');
        await this.ended;
    }
}

class Management {
    constructor(port) {
        this.base = `http://127.0.0.1:${port}/api`;
        this.headers = { authorization: `Basic ${Buffer.from('guest:guest').toString('base64')}` };
    }

    async connection(named) {
        for (let i = 0; i < 100; i++) {
            const all = await (await fetch(`${this.base}/connections`, { headers: this.headers })).json();
            const found = all.find(({ client_properties: p }) => p?.connection_name === named);
            if (found) {
                return found.name;
            }
            await sleep(200); // it is told of some seconds after it came
        }
        throw new Error(`the broker does not know the connection ${named}`);
    }

    async cut(name) {
        const url = `${this.base}/connections/${encodeURIComponent(name)}`;
        const { status } = await fetch(url, { method: 'DELETE', headers: { ...this.headers, 'x-reason': 'bench' } });
        if (status !== 204) {
            throw new Error(`connection ${name} was not closed: ${status}`);
        }
    }
}

// The first line of the log after `from_ms` that matches.
function logged(file, from_ms, pattern) {
    for (const line of readFileSync(file, 'utf8').split('\n')) {
        const at = Date.parse(line.split(' ')[0]);
        if (at >= from_ms - 1 && pattern.test(line)) {
            return at;
        }
    }
    return null;
}

async function until(predicate, ms) {
    for (const end = Date.now() + ms; Date.now() < end; await sleep(50)) {
        if (await predicate()) {
            return true;
        }
    }
    return false;
}

function quantiles(values) {
    const sorted = [...values].sort((a, b) => a - b);
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? null;
    return { n: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1), over_50_ms: sorted.filter((x) => x > 50).length };
}

function parse(file) {
    const all = { mark: [], confirm: [], bind: [], closed: 0, foreign: 0 };
    for (const line of readFileSync(file, 'utf8').trim().split('\n')) {
        const [kind, ...numbers] = line.split(' ');
        if (Array.isArray(all[kind])) {
            all[kind].push(numbers.map(Number));
        } else {
            all[kind] = Number(numbers[0]);
        }
    }
    return all;
}

// Of what was sent after the reconnect: how long was something still lost, and how long did the rest take.
function hearing(marks, times) {
    const after = marks.filter(([sent]) => sent >= times.open && sent < times.swept);
    const last = after.findLastIndex(([, heard]) => heard === 0);
    const next = after[last + 1];
    return {
        lost_after_reconnect: after.filter(([, heard]) => heard === 0).length,
        last_lost_ms: last < 0 ? null : after[last][0] - times.open,
        hears_again_ms: next ? next[1] - times.open : null,
        duplicated: after.filter(([, , n]) => n > 1).length,
        latency_ms: quantiles(after.filter(([, heard]) => heard > 0).map(([sent, heard]) => heard - sent)),
    };
}

function between(samples, from, to) {
    return quantiles(samples.filter(([at]) => at >= from && at < to).map(([, took]) => took));
}

function judge(all, times) {
    const phases = {
        before: [times.begin, times.cut],
        restoring: [times.cut, times.settled],
        after: [times.settled, times.swept],
    };
    const per_phase = (samples) => Object.fromEntries(Object.entries(phases).map(([name, [a, b]]) => [name, between(samples, a, b)]));
    return {
        down_ms: times.open - times.down,
        up_ms: times.up - times.open,
        settled_ms: times.settled - times.open,
        hearing: hearing(all.mark, times),
        confirm_ms: per_phase(all.confirm),
        bind_ms: per_phase(all.bind),
        closed: all.closed,
        foreign: all.foreign,
    };
}

async function metric(port, name) {
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    return [...text.matchAll(new RegExp(`^stompgate_${name}(?:{[^}]*})? (\\d+)$`, 'gm'))].reduce((sum, [, n]) => sum + Number(n), 0);
}

async function subscribe(client, peer, rooms, pace) {
    const before = processes(peer.pids);
    const { seconds } = await client.answer();
    await sleep(2000 * pace);
    const after = processes(peer.pids);
    const rss = difference(after, before, 'rss');
    return {
        seconds,
        cpu_us: difference(after, before, 'cpu_us'),
        gateway_bytes_per_room: rss.gateway / rooms,
        broker_bytes_per_room: rss.broker / rooms,
    };
}

// Cuts while marks flow, and waits until the gateway says that everything is as before.
async function cut({ client, management, name, peer, port, log, seconds, pace }) {
    const times = { begin: Date.now() };
    client.say('publish');
    await sleep(5000 * pace);
    const before = processes(peer.pids);
    times.cut = Date.now();
    await management.cut(name);
    await until(() => logged(log, times.cut, / broker\.state .*side=live state=up/) !== null, seconds * 1000);
    times.down = logged(log, times.cut, / broker\.state id=\S+ side=live state=down/);
    times.open = logged(log, times.cut, / broker\.open id=stompgate \S+ live/);
    times.up = logged(log, times.cut, / broker\.state .*side=live state=up/);
    await sleep(1500); // what /metrics says is of the last second
    const is_settled = await until(async () => (await metric(port, 'bindings_waiting')) === 0, seconds * 1000);
    times.settled = Date.now();
    const cpu_us = difference(processes(peer.pids), before, 'cpu_us');
    await sleep(3000 * pace);
    return { times, cpu_us, is_settled };
}

// quick: shorter before and after the cut, for a run that looks at the shape alone.
export async function recover(options) {
    const { services, bin, dir, port, rooms = 100000, connections = 400, bindMax = 5000, seconds = 60, quick, hold } = options;
    const pace = quick ? 0.1 : 1;
    const peer = await peers.gateway({ services, bin, dir, port, extra: `bind_max = ${bindMax}\n` });
    const args = ['--ws-port', port, '--amqp-port', services.ports.SG_AMQP_PORT, '--rooms', rooms, '--connections', connections];
    const client = new Client(bin, args);
    try {
        const subscribed = await subscribe(client, peer, rooms, pace);
        const management = new Management(services.ports.SG_MANAGEMENT_PORT);
        const name = await management.connection('stompgate bench.0 live');
        await hold?.(subscribed);
        const context = { client, management, name, peer, port, log: path.join(dir, 'gateway.log'), seconds, pace };
        const { times, cpu_us, is_settled } = await cut(context);
        times.swept = Date.now();
        client.say('sweep');
        const { sent, heard } = await client.answer();
        const file = path.join(dir, 'recover.txt');
        client.say(`end ${file}`);
        await client.answer();
        return { rooms, connections, bind_max: bindMax, subscribed, cpu_us, is_settled, ...judge(parse(file), times), sweep: { sent, heard } };
    } finally {
        await client.stop();
        await peer.stop();
    }
}

async function line() {
    const input = createInterface({ input: process.stdin });
    await once(input, 'line');
    input.close();
}

async function main() {
    const { values, positionals } = parseArgs({
        allowPositionals: true,
        options: {
            rooms: { type: 'string', default: '100000' },
            connections: { type: 'string', default: '400' },
            'bind-max': { type: 'string', default: '5000' },
            seconds: { type: 'string', default: '60' },
            hold: { type: 'boolean', default: false },
        },
    });
    const services = new Services(positionals[0]);
    const bin = process.env.STOMPGATE_BIN_DIR ?? path.join(root, 'build/release');
    await services.start();
    const result = await recover({
        services,
        bin,
        dir: positionals[0],
        port: Number(process.env.SG_BENCH_PORT_BASE ?? 8700) + 50,
        rooms: Number(values.rooms),
        connections: Number(values.connections),
        bindMax: Number(values['bind-max']),
        seconds: Number(values.seconds),
        hold: values.hold ? async (facts) => (console.error(`prepared: ${JSON.stringify(facts)}`), line()) : undefined,
    });
    console.log(JSON.stringify(result, null, 1));
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
    await main();
}
