// One measurement: a peer is started, loadgen drives it, and what it printed comes back as an object.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { loadavg } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { peers, quiet, Unavailable } from './peers.mjs';
import { recover } from './recover.mjs';

const run = promisify(execFile);
const FIRST_PORT = Number(process.env.SG_BENCH_PORT_BASE ?? 8700) + 50;
const PORTS = 16; // the port plan of scripts/lib.sh goes on behind them
const PATIENCE_MS = 120000;
const WRONG_USAGE = 2;
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

export async function loadgen(bin, args) {
    const { stdout, stderr } = await run(path.join(bin, 'bench/loadgen'), args.map(String), { timeout: PATIENCE_MS }).catch((error) => {
        const said = `${error.stderr || error.message}`.trim();
        if (error.code === WRONG_USAGE) {
            throw new Unavailable(`loadgen cannot do this: ${said.split('\n')[0].replace(/^\S*loadgen: /, '')}`);
        }
        throw new Error(`loadgen failed: ${said}\n${error.stdout ?? ''}`);
    });
    process.stderr.write(stderr);
    return JSON.parse(stdout);
}

// The most that each process ever held, a fresh one for each measurement but for the broker.
function peaks(pids) {
    const peak = (pid) => 1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
    return Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, peak(pid)]));
}

async function drive(peer, bin, one, label) {
    const pids = Object.entries(peer.pids).flatMap(([name, pid]) => ['--pid', `${name}=${pid}`]);
    const syscalls = one.syscalls ? Object.keys(peer.pids).flatMap((name) => ['--syscalls', name]) : [];
    const result = await loadgen(bin, ['--label', label, ...peer.args, ...pids, ...syscalls, ...one.args]);
    return { ...result, peak_rss_bytes: peaks(peer.pids) };
}

async function drivePeer(context, scenario, one) {
    const options = one.options ?? {};
    const ports = { port: await nextPort(), tlsPort: await nextPort() };
    const peer = await peers[one.peer]({ ...context, ...ports, ...options, tls: options.tls && context.tls });
    try {
        return await drive(peer, context.bin, one, `${scenario.key}: ${one.name}`);
    } finally {
        await peer.stop();
    }
}

// A broker that is cut from under many rooms has a client of its own: recover.mjs.
async function cutBroker(context, one) {
    const details = await recover({ ...context, port: await nextPort(), ...one.recover });
    const { hearing, confirm_ms, settled_ms, sweep, foreign, closed } = details;
    const publish = { publish_max_ms: confirm_ms.restoring.max, publish_before_max_ms: confirm_ms.before.max };
    const total = { lost: sweep.sent - sweep.heard, duplicated: hearing.duplicated, foreign }; // of the sweep over all rooms in the end
    return { recover: { all_heard_ms: hearing.hears_again_ms, settled_ms, ...publish }, total, closed, details };
}

// context: { services, bin, dir, quick, tls }. What cannot be had here is { unavailable }, what went wrong { failed }.
export async function measure(context, scenario, one) {
    const load_before = loadavg()[0]; // was the machine ours?
    try {
        if (!context.quick) {
            await quiet(context.services.pid);
        }
        return { load_before, ...(await (one.recover ? cutBroker(context, one) : drivePeer(context, scenario, one))) };
    } catch (error) {
        return { load_before, [error instanceof Unavailable ? 'unavailable' : 'failed']: error.message };
    }
}
