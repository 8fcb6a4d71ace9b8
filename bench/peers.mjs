// What is measured: each peer is started, names its URL and its processes, and is stopped by pid.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const run = promisify(execFile);

export function sleep(ms) {
    return new Promise((resolve) => setTimeout(resolve, ms));
}

async function until(predicate, what, ms = 20000) {
    const end = Date.now() + ms;
    while (!(await predicate())) {
        if (Date.now() > end) {
            throw new Error(`waited ${ms} ms in vain for ${what}`);
        }
        await sleep(50);
    }
}

// utime + stime in clock ticks, of all threads.
function ticks(pid) {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
    return Number(fields[11]) + Number(fields[12]);
}

// Waits until a process has little to do: what the peer before it left behind is no work of the next one.
export async function quiet(pid) {
    for (let i = 0; i < 60; i++) {
        const before = ticks(pid);
        await sleep(500);
        if (ticks(pid) - before <= 4) {
            return;
        }
    }
}

function environment(file) {
    const lines = readFileSync(file, 'utf8').split('\n');
    return Object.fromEntries(lines.map((line) => /^(\w+)='?(.*?)'?$/.exec(line)).filter(Boolean).map(([, name, value]) => [name, value]));
}

// RabbitMQ with its Web STOMP plugin, by scripts/services.
export class Services {
    constructor(dir) {
        this.dir = dir;
        this.script = path.join(root, 'scripts/services');
        this.env = { ...process.env, SG_PORT_BASE: process.env.SG_BENCH_PORT_BASE ?? '8700' };
    }

    async start() {
        await run(this.script, ['start', this.dir, '--web-stomp'], { env: this.env, timeout: 240000 });
        this.ports = environment(path.join(this.dir, 'env'));
        this.pid = Number(readFileSync(path.join(this.dir, 'pid/rabbitmq'), 'utf8').split(' ')[0]);
    }

    stop() {
        return run(this.script, ['stop', this.dir], { env: this.env, timeout: 120000 });
    }

    // The versions as the broker tells them itself.
    async overview() {
        const authorization = `Basic ${Buffer.from('guest:guest').toString('base64')}`;
        const url = `http://127.0.0.1:${this.ports.SG_MANAGEMENT_PORT}/api/overview`;
        return (await fetch(url, { headers: { authorization } })).json();
    }
}

// A program that says "listener.open … port=N" when it is ready.
class Server {
    constructor(name, file, args, log) {
        const out = openSync(log, 'w');
        this.name = name;
        this.log = log;
        this.child = spawn(file, args, { stdio: ['ignore', out, out] });
        closeSync(out);
        this.pid = this.child.pid;
        this.ended = new Promise((resolve) => this.child.once('error', resolve).once('exit', resolve));
    }

    async listening() {
        const isThere = () => /listener\.open.*port=\d+/.test(readFileSync(this.log, 'utf8'));
        await until(() => isThere() || this.child.exitCode !== null, `${this.name} to listen`);
        if (!isThere()) {
            throw new Error(`${this.name} ended at once:\n${readFileSync(this.log, 'utf8').slice(-2000)}`);
        }
        return this;
    }

    async stop() {
        this.child.kill('SIGTERM');
        const timer = setTimeout(() => this.child.kill('SIGKILL'), 10000);
        await this.ended;
        clearTimeout(timer);
    }
}

const CONFIG = (port, amqpPort, threads) => `
[gateway]
name = "bench"
bind = "127.0.0.1"
port = ${port}
path = "/ws"
anonymous = true
threads = ${threads}
drain_ms = 0
log_level = "info"

[broker]
hosts = ["127.0.0.1:${amqpPort}"]
user = "guest"
password = "guest"
`;

// Each gives { url, pids, login, stop }. A fresh process each time, so that memory is that of this measurement alone; the broker alone
// goes on, as it would in life.
export const peers = {
    async gateway({ services, bin, dir, port, threads = 1, extra = '' }) {
        mkdirSync(dir, { recursive: true });
        const file = path.join(dir, 'gateway.toml');
        writeFileSync(file, CONFIG(port, services.ports.SG_AMQP_PORT, threads) + extra);
        const server = new Server('gateway', path.join(bin, 'stompgate'), ['--config', file], path.join(dir, 'gateway.log'));
        try {
            await server.listening();
            await until(async () => (await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => ({}))).ok, 'the gateway to be ready');
        } catch (error) {
            await server.stop();
            throw error;
        }
        return { url: `ws://127.0.0.1:${port}/ws`, pids: { gateway: server.pid, broker: services.pid }, stop: () => server.stop() };
    },

    async plugin({ services }) {
        const url = `ws://127.0.0.1:${services.ports.SG_WEB_STOMP_PORT}/ws`;
        return { url, pids: { broker: services.pid }, login: ['guest', 'guest'], stop: async () => {} };
    },

    floor: (context) => floor(context, []),
    gather: (context) => floor(context, ['--gather']),
};

async function floor({ bin, dir, port }, options) {
    mkdirSync(dir, { recursive: true });
    const file = path.join(bin, 'bench/floor');
    const server = new Server('floor', file, [String(port), ...options], path.join(dir, 'floor.log'));
    await server.listening();
    return { url: `ws://127.0.0.1:${port}/ws`, pids: { floor: server.pid }, stop: () => server.stop() };
}
