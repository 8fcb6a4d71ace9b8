// Runs the scenarios: rounds in which each peer has its turn, in an order that rotates, with the same client. bench/run calls this.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { cpus, loadavg, release, totalmem } from 'node:os';
import path from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { peers, quiet, root, Services, sleep } from './peers.mjs';
import { render, summaries } from './table.mjs';

const run = promisify(execFile);
const bin = process.env.STOMPGATE_BIN_DIR;
const dir = process.argv[2];
const { values: options } = parseArgs({
    args: process.argv.slice(3),
    options: {
        quick: { type: 'boolean', default: false },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        only: { type: 'string' },
        peers: { type: 'string' },
        output: { type: 'string' },
    },
});
const { quick } = options;
const rounds = Number(options.rounds ?? (quick ? 1 : 5));
const seconds = Number(options.seconds ?? (quick ? 2 : 10));

// Arguments of loadgen, and who takes part.
function scenarios() {
    const all = ['gateway', 'plugin', 'floor', 'gather'];
    const hot = quick ? 100 : 1000;
    const rooms = quick ? 50 : 500;
    const span = ['--warmup', quick ? '0.5' : '3', '--duration', String(seconds)];
    const idle = quick ? [200] : [1000, 4000, 10000];
    return [
        { group: 'hot', name: `1 topic × ${hot}, closed loop`, peers: all, args: ['--subscribers', hot, '--window', 20, ...span] },
        { group: 'slow', name: `1 topic × ${hot}, 10 messages/s`, peers: all, args: ['--subscribers', hot, '--rate', 10, ...span] },
        {
            group: 'rooms',
            name: `${rooms} rooms × 2, closed loop`,
            peers: all,
            args: ['--subscribers', rooms * 2, '--rooms', rooms, '--publishers', 10, '--window', quick ? 20 : 100, ...span],
        },
        ...idle.map((n) => ({
            group: 'idle',
            name: `${n} connections, idle`,
            peers: ['gateway', 'plugin', 'floor'],
            args: ['--subscribers', n, '--rooms', Math.min(100, n), '--idle', '--settle', quick ? 1 : 5],
        })),
    ].filter(({ group }) => !options.only || options.only.split(',').includes(group));
}

async function loadgen(label, peer, args) {
    const pids = Object.entries(peer.pids).flatMap(([name, pid]) => ['--pid', `${name}=${pid}`]);
    const login = peer.login ? ['--login', peer.login[0], '--passcode', peer.login[1]] : [];
    const all = ['--url', peer.url, '--label', label, ...pids, ...login, ...args.map(String)];
    const { stdout, stderr } = await run(path.join(bin, 'bench/loadgen'), all, { timeout: 300000 }).catch((error) => {
        throw new Error(`loadgen failed on ${label}: ${error.stderr || error.message}\n${error.stdout ?? ''}`);
    });
    process.stderr.write(stderr);
    return JSON.parse(stdout);
}

const FIRST_PORT = Number(process.env.SG_BENCH_PORT_BASE ?? 8700) + 50;
const PORTS = 16; // the port plan of scripts/lib.sh goes on behind them
let tried = 0;

function isFree(port) {
    return new Promise((resolve) => {
        const probe = createServer();
        probe.once('error', () => resolve(false));
        probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
    });
}

// Another port than the server before had: none of its connections is in the way.
async function nextPort() {
    for (let i = 0; i < PORTS; i++) {
        const port = FIRST_PORT + (tried++ % PORTS);
        if (await isFree(port)) {
            return port;
        }
    }
    throw new Error(`none of the ports ${FIRST_PORT} to ${FIRST_PORT + PORTS - 1} is free; set SG_BENCH_PORT_BASE`);
}

async function measure(services, scenario, name, round) {
    await quiet(services.pid);
    const load_before = loadavg()[0]; // was the machine ours?
    const peer = await peers[name]({ services, bin, dir, port: await nextPort() });
    try {
        const result = await loadgen(`${scenario.name}: ${name}`, peer, scenario.args);
        return { scenario: scenario.name, peer: name, round, load_before, ...result };
    } finally {
        await peer.stop();
    }
}

function rotated(list, by) {
    return list.map((_, i) => list[(i + by) % list.length]);
}

async function measureAll(services) {
    const wanted = options.peers?.split(',');
    const runs = [];
    for (let round = 0; round < rounds; round++) {
        for (const scenario of scenarios()) {
            const taking = scenario.peers.filter((name) => !wanted || wanted.includes(name));
            for (const name of rotated(taking, round)) {
                const result = await measure(services, scenario, name, round);
                runs.push(result);
                console.error(`round ${round + 1}/${rounds}  ${result.label}  ${brief(result)}`);
                await sleep(quick ? 0 : 1000);
            }
        }
    }
    return runs;
}

function brief(run) {
    if (!run.latency_us) {
        const all = Object.entries(run.connect.processes);
        return all.map(([name, one]) => `${name} ${(one.rss_bytes_per_connection / 1024).toFixed(2)} KiB`).join(', ');
    }
    return `${Math.round(run.delivered_per_s)}/s, ${run.cpu.us_per_delivery.toFixed(3)} µs, p50 ${(run.latency_us.p50 / 1000).toFixed(2)} ms`;
}

// What a shape check looks at: everything that was sent came once, and nobody was thrown out.
function complaints(runs) {
    const out = [];
    for (const run of runs) {
        const { lost = 0, duplicated = 0, foreign = 0 } = run.total ?? {};
        if (lost || duplicated || foreign || run.closed || run.given_up || run.delivered === 0) {
            out.push(`${run.label}: ${JSON.stringify({ ...run.total, closed: run.closed, given_up: run.given_up })}`);
        }
    }
    return out;
}

async function capture(file, args) {
    return (await run(file, args, { cwd: root }).catch(() => ({ stdout: '' }))).stdout.trim();
}

// What is measured is a file. The checkout says what it was made from only where bench/run built it just now.
async function measured() {
    const file = path.join(bin, 'stompgate');
    const commit = process.env.SG_BENCH_BUILT ? await capture('git', ['describe', '--always', '--dirty']) : 'unknown: built elsewhere';
    return {
        stompgate: await capture(file, ['--version']),
        commit,
        sha256: createHash('sha256').update(readFileSync(file)).digest('hex'),
    };
}

async function machine(services) {
    const overview = await services.overview();
    const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
    return {
        cpu: cpus()[0].model,
        cores: cpus().length,
        memory,
        kernel: release(),
        distribution: /PRETTY_NAME="(.*)"/.exec(readFileSync('/etc/os-release', 'utf8'))?.[1],
        ...(await measured()),
        compiler: (await capture('gcc', ['--version'])).split('\n')[0],
        libwebsockets: await capture('pkg-config', ['--modversion', 'libwebsockets']),
        rabbitmq: overview.rabbitmq_version,
        erlang: overview.erlang_version,
    };
}

function save(date, facts, runs) {
    const file = options.output ?? path.join(root, 'bench/results', `${date.toISOString().slice(0, 16).replace(':', '')}.json`);
    mkdirSync(path.dirname(file), { recursive: true });
    const text = { date: date.toISOString(), machine: facts, options: { rounds, seconds }, medians: summaries(runs), runs };
    writeFileSync(file, `${JSON.stringify(text, null, 1)}\n`);
    console.error(`written: ${path.relative(root, file)}`);
}

async function main() {
    const date = new Date();
    const services = new Services(dir);
    process.once('SIGINT', () => services.stop().finally(() => process.exit(130)));
    await services.start();
    try {
        const facts = await machine(services);
        const runs = await measureAll(services);
        console.log(render(runs));
        if (!quick || options.output) {
            save(date, facts, runs);
        }
        const wrong = complaints(runs);
        wrong.forEach((line) => console.error(`wrong: ${line}`));
        process.exitCode = wrong.length > 0 ? 1 : 0;
    } finally {
        await services.stop();
    }
}

await main();
