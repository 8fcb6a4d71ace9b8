// What the Node suites stand on: starts gateways and storage workers on free ports, talks to RabbitMQ's management API, to
// RabbitMQ by plain AMQP and to PostgreSQL, collects logs, stops by pid, and fails the suite when a sanitizer spoke.
//
//     import { harness, waitFor } from '../lib/harness.mjs';
//     const h = await harness({ database: true });
//     after(() => h.close());
//     const gw = await h.gateway({ gateway: { anonymous: false }, user: [{ login: 'ann', password: 'x' }] });
//     const store = await h.worker();
//     gw.url, gw.port, gw.pid, gw.lines, await gw.metrics(), await gw.get('/readyz'), await gw.stop()
//
// scripts/test sets the environment: STOMPGATE_AMQP (host:port), STOMPGATE_MANAGEMENT and STOMPGATE_PG (URLs), STOMPGATE_SERVICES (the
// folder for scripts/services), STOMPGATE_BIN_DIR. `scripts/test --shell` opens a shell with all of it.
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import amqplib from 'amqplib';
import pg from 'pg';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const DEADLINE_MS = Number(process.env.STOMPGATE_DEADLINE_MS ?? 20000);
const SANITIZER = /AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehaviorSanitizer|runtime error:|Assertion .* failed/;

function env(name) {
    const value = process.env[name];
    if (!value) {
        throw new Error(`${name} is not set: run the suites with scripts/test (or from scripts/test --shell)`);
    }
    return value;
}

export function sleep(ms) {
    return new Promise((resolve) => setTimeout(resolve, ms));
}

// Polls until `predicate` gives something truthy, and gives that; an error when the deadline has passed. What the predicate throws
// counts as "not yet" and is told in the end.
export async function waitFor(predicate, { timeout = DEADLINE_MS, every = 20, what = predicate.toString() } = {}) {
    const end = Date.now() + timeout;
    let last;
    do {
        try {
            const value = await predicate();
            if (value) {
                return value;
            }
            last = undefined;
        } catch (error) {
            last = error;
        }
        await sleep(every);
    } while (Date.now() < end);
    throw new Error(`waited ${timeout} ms in vain for: ${what}`, { cause: last });
}

// Routes that open all of RabbitMQ's destinations to everybody: for config.route.
export function openRoutes(topic = {}) {
    const everybody = { send: ['*'], subscribe: ['*'], queues: ['*'] };
    return ['/queue/', '/amq/queue/', '/exchange/', '/fanout/', '/topic/'].map((prefix) => ({
        prefix,
        ...everybody,
        ...(prefix === '/topic/' ? topic : {}),
    }));
}

// A short name that no other run uses: good for queue, exchange, room and database names.
export function unique(prefix = 't') {
    return `${prefix}${Date.now().toString(36)}${randomBytes(3).toString('hex')}`;
}

// ---- TOML ----------------------------------------------------------------------------------------------------------

// JSON's strings, numbers and booleans are TOML's as well.
function tomlValue(value) {
    return Array.isArray(value) ? `[${value.map(tomlValue).join(', ')}]` : JSON.stringify(value);
}

function tomlTable(header, table) {
    const lines = Object.entries(table)
        .filter(([, value]) => value !== undefined)
        .map(([key, value]) => `${key} = ${tomlValue(value)}`);
    return [header, ...lines, ''].join('\n');
}

// { gateway: { port: 0 }, route: [{ prefix: '/topic/' }] } → [gateway] and [[route]].
export function toToml(config) {
    return Object.entries(config)
        .flatMap(([name, part]) =>
            Array.isArray(part) ? part.map((item) => tomlTable(`[[${name}]]`, item)) : [tomlTable(`[${name}]`, part)],
        )
        .join('\n');
}

function merge(base, extra) {
    const out = { ...base };
    for (const [key, value] of Object.entries(extra ?? {})) {
        const both = value && typeof value === 'object' && !Array.isArray(value) && base[key] && !Array.isArray(base[key]);
        out[key] = both ? { ...base[key], ...value } : value;
    }
    return out;
}

// ---- a program -----------------------------------------------------------------------------------------------------

// One gateway or storage worker. `lines` is its log so far.
class Program {
    constructor(name, file, args, environment = {}) {
        this.name = name;
        this.lines = [];
        this.exit = null; // { code, signal } once it has ended
        this.expected = false; // somebody asked it to end
        this.child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...environment } });
        this.pid = this.child.pid;
        this.ended = new Promise((resolve) => {
            this.child.once('error', (error) => resolve((this.exit = { code: -1, signal: null, error })));
            this.child.once('close', (code, signal) => resolve((this.exit = { code, signal })));
        });
        for (const stream of [this.child.stdout, this.child.stderr]) {
            this.#collect(stream);
        }
    }

    #collect(stream) {
        let rest = '';
        stream.setEncoding('utf8');
        stream.on('data', (text) => {
            const parts = (rest + text).split('\n');
            rest = parts.pop();
            this.lines.push(...parts);
        });
        stream.on('end', () => rest && this.lines.push(rest));
    }

    get isRunning() {
        return this.exit === null;
    }

    get port() {
        const line = this.log(/\b(?:listener|http)\.open\b.*\bport=\d+/)[0];
        return line ? Number(/\bport=(\d+)/.exec(line)[1]) : undefined;
    }

    // Of plain STOMP, where the configuration opens one.
    get tcpPort() {
        const line = this.log(/\btcp\.open\b.*\bport=\d+/)[0];
        return line ? Number(/\bport=(\d+)/.exec(line)[1]) : undefined;
    }

    // Of WebSocket and HTTP over TLS, the same.
    get tlsPort() {
        const line = this.log(/\btls\.open\b.*\bport=\d+/)[0];
        return line ? Number(/\bport=(\d+)/.exec(line)[1]) : undefined;
    }

    get tlsUrl() {
        return `wss://127.0.0.1:${this.tlsPort}${this.wsPath}`;
    }

    get origin() {
        return `http://127.0.0.1:${this.port}`;
    }

    get wsPath() {
        return this.config.gateway?.path ?? '/ws';
    }

    get url() {
        return `ws://127.0.0.1:${this.port}${this.wsPath}`;
    }

    // The log lines that match.
    log(pattern) {
        return this.lines.filter((line) => pattern.test(line));
    }

    waitLog(pattern, options = {}) {
        return waitFor(() => this.log(pattern)[0], { what: `${this.name} to log ${pattern}`, ...options });
    }

    tail(n = 40) {
        return `--- ${this.name} (pid ${this.pid}), its last lines:\n${this.lines.slice(-n).join('\n')}`;
    }

    // { status, body }: never throws for a status.
    async get(where) {
        const answer = await fetch(this.origin + where, { signal: AbortSignal.timeout(5000), headers: { connection: 'close' } });
        return { status: answer.status, body: await answer.text(), headers: answer.headers };
    }

    // Prometheus text as an object: { 'stompgate_sessions{reactor="0"}': 2, … }
    async metrics() {
        const { body } = await this.get('/metrics');
        const pairs = body.split('\n').map((line) => /^([a-zA-Z_:][^ ]*(?:\{.*\})?) (\S+)/.exec(line));
        return Object.fromEntries(pairs.filter(Boolean).map(([, name, value]) => [name, Number(value)]));
    }

    // The sum over all label sets of one metric.
    async metric(name) {
        const all = Object.entries(await this.metrics());
        return all.filter(([key]) => key === name || key.startsWith(`${name}{`)).reduce((sum, [, value]) => sum + value, 0);
    }

    async started({ ready = true, timeout = DEADLINE_MS } = {}) {
        try {
            await waitFor(() => this.port || !this.isRunning, { timeout, what: `${this.name} to open its listener` });
            if (!this.isRunning) {
                throw new Error(`${this.name} ended at once: ${JSON.stringify(this.exit)} ${this.exit.error ?? ''}`);
            }
            if (ready) {
                await waitFor(async () => (await this.get('/readyz')).status === 200, { timeout, what: `${this.name} to be ready` });
            }
        } catch (error) {
            error.message += `\n${this.tail()}`;
            throw error;
        }
        return this;
    }

    signal(signal) {
        if (this.isRunning) {
            this.expected = true;
            this.child.kill(signal);
        }
    }

    // Ends it in order; SIGKILL and an error when it takes longer than `timeout`.
    async stop({ signal = 'SIGTERM', timeout = 15000 } = {}) {
        this.signal(signal);
        const timer = setTimeout(() => {
            this.overdue = true;
            this.child.kill('SIGKILL');
        }, timeout);
        await this.ended;
        clearTimeout(timer);
        return this.exit;
    }

    async kill() {
        this.signal('SIGKILL');
        await this.ended;
    }

    // What is wrong with how it ran, or null.
    complaint() {
        if (this.lines.some((line) => SANITIZER.test(line))) {
            const first = this.lines.findIndex((line) => SANITIZER.test(line));
            return `a sanitizer spoke in ${this.name}:\n${this.lines.slice(Math.max(0, first - 2), first + 40).join('\n')}`;
        }
        if (this.overdue) {
            return `${this.name} did not end in time and was killed\n${this.tail()}`;
        }
        if (this.exit && !this.expected) {
            return `${this.name} ended by itself: ${JSON.stringify(this.exit)}\n${this.tail()}`;
        }
        if (this.exit && this.exit.signal === null && this.exit.code !== 0) {
            return `${this.name} ended with code ${this.exit.code}\n${this.tail()}`;
        }
        return this.exit?.signal && !['SIGKILL', 'SIGTERM', 'SIGINT'].includes(this.exit.signal)
            ? `${this.name} died of ${this.exit.signal}\n${this.tail()}`
            : null;
    }
}

// ---- RabbitMQ's management API ---------------------------------------------------------------------------------------

class Management {
    constructor(url, user = 'guest', password = 'guest') {
        this.base = `${url.replace(/\/$/, '')}/api`;
        this.authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
    }

    // path: '/queues/%2F/name'. Gives the parsed answer, undefined for an empty one, null for 404.
    async request(method, where, body) {
        const answer = await fetch(this.base + where, {
            method,
            headers: { authorization: this.authorization, 'content-type': 'application/json' },
            body: body === undefined ? undefined : JSON.stringify(body),
            signal: AbortSignal.timeout(10000),
        });
        const text = await answer.text();
        if (answer.status === 404) {
            return null;
        }
        if (!answer.ok) {
            throw new Error(`management API: ${method} ${where}: ${answer.status} ${text}`);
        }
        return text ? JSON.parse(text) : undefined;
    }

    get(where) {
        return this.request('GET', where);
    }

    put(where, body = {}) {
        return this.request('PUT', where, body);
    }

    post(where, body = {}) {
        return this.request('POST', where, body);
    }

    delete(where) {
        return this.request('DELETE', where);
    }
}

// ---- the harness -----------------------------------------------------------------------------------------------------

class Harness {
    constructor(options) {
        this.options = options;
        this.tag = unique();
        this.programs = [];
        this.nNames = 0; // several may start at once
        this.closers = [];
        this.amqpAddress = options.amqp ?? env('STOMPGATE_AMQP');
        this.management = new Management(env('STOMPGATE_MANAGEMENT'));
        this.bin = options.bin ?? env('STOMPGATE_BIN_DIR');
        this.vhost = '/';
        this.databaseUrl = '';
    }

    get vhostPath() {
        return encodeURIComponent(this.vhost);
    }

    async open() {
        this.folder = await mkdtemp(path.join(tmpdir(), 'stompgate-test-'));
        if (this.options.vhost) {
            await this.#openVhost();
        }
        if (this.options.database) {
            await this.#openDatabase();
        }
        return this;
    }

    // A virtual host of its own: nothing of another suite is seen. RabbitMQ's event exchange is in "/" alone, though.
    async #openVhost() {
        this.vhost = this.tag;
        await this.management.put(`/vhosts/${this.tag}`);
        const all = { configure: '.*', write: '.*', read: '.*' };
        await this.management.put(`/permissions/${this.tag}/guest`, all);
        this.closers.push(() => this.management.delete(`/vhosts/${this.tag}`));
    }

    // A database of its own, with the schema in it.
    async #openDatabase() {
        const url = new URL(env('STOMPGATE_PG'));
        const admin = new pg.Client({ connectionString: url.href });
        await admin.connect();
        await admin.query(`CREATE DATABASE ${this.tag}`);
        this.closers.push(async () => {
            await admin.query(`DROP DATABASE ${this.tag} WITH (FORCE)`).catch(() => {});
            await admin.end().catch(() => {});
        });
        admin.on('error', () => {}); // a suite may restart the server
        url.pathname = `/${this.tag}`;
        this.databaseUrl = url.href;
        if (this.options.migrate !== false) {
            await this.migrate();
        }
        this.pool = new pg.Pool({ connectionString: url.href, max: 4 });
        this.pool.on('error', () => {});
        this.closers.push(() => this.pool.end());
    }

    async migrate() {
        const file = await this.#writeConfig('migrate', this.config());
        const run = promisify(execFile);
        return run(path.join(this.bin, 'stompgate-store'), ['--config', file, '--migrate'], { timeout: DEADLINE_MS });
    }

    // The configuration that both programs get, before a test's own changes. Every key a test does not care about keeps its default.
    config(extra = {}) {
        const base = {
            gateway: { bind: '127.0.0.1', port: 0, path: '/ws', anonymous: true, log_level: 'info', drain_ms: 0 },
            broker: { hosts: [this.amqpAddress], vhost: this.vhost, user: 'guest', password: 'guest', reconnect_max_ms: 500 },
            store: {
                queue: `stompgate.store.${this.tag}`,
                dead_queue: `stompgate.dead.${this.tag}`,
                metrics_bind: '127.0.0.1',
                metrics_port: 0,
                retry_max_ms: 500,
            },
        };
        if (this.databaseUrl) {
            base.database = { url: this.databaseUrl };
            base.history = { enabled: true };
            base.route = [{ prefix: '/topic/', store: true }];
        }
        return merge(merge(base, this.options.config), extra);
    }

    async #writeConfig(name, config) {
        const file = path.join(this.folder, `${name}.toml`);
        await writeFile(file, toToml(config), { mode: 0o600 });
        return file;
    }

    async #start(binary, name, config, options) {
        const file = await this.#writeConfig(name, config);
        const program = new Program(name, path.join(this.bin, binary), ['--config', file], options.env);
        program.config = config;
        this.programs.push(program);
        return program.started(options);
    }

    // Starts a gateway. `extra` changes the configuration by section; options: { ready: false } does not wait for the broker,
    // { name } names it, { env } adds to its environment.
    gateway(extra = {}, options = {}) {
        const name = options.name ?? `gw${this.nNames++}-${this.tag}`;
        const config = this.config(extra);
        config.gateway = { name, ...config.gateway };
        return this.#start('stompgate', name, config, options);
    }

    worker(extra = {}, options = {}) {
        const name = options.name ?? `store${this.nNames++}-${this.tag}`;
        const config = this.config(extra);
        config.store = { name, ...config.store };
        return this.#start('stompgate-store', name, config, options);
    }

    // Runs a program to its end: { code, stdout, stderr }. For --check-config, --version and the like.
    async run(binary, args, options = {}) {
        try {
            const done = await promisify(execFile)(path.join(this.bin, binary), args, { timeout: DEADLINE_MS, ...options });
            return { code: 0, ...done };
        } catch (error) {
            return { code: error.code, stdout: error.stdout, stderr: error.stderr };
        }
    }

    // Rows of a query in the suite's database.
    async sql(text, values) {
        return (await this.pool.query(text, values)).rows;
    }

    // A plain AMQP connection (amqplib), closed at the end.
    async amqp() {
        const vhost = encodeURIComponent(this.vhost);
        const connection = await amqplib.connect(`amqp://guest:guest@${this.amqpAddress}/${vhost}`);
        connection.on('error', () => {});
        this.closers.push(() => connection.close().catch(() => {}));
        return connection;
    }

    // scripts/services ACTION: 'restart-rabbit', 'kill-rabbit', 'stop-postgres', …
    async services(action) {
        const run = promisify(execFile);
        await run(path.join(root, 'scripts/services'), [action, env('STOMPGATE_SERVICES')], { timeout: 180000 });
    }

    // RabbitMQ's command line tool: what the management API cannot do.
    async rabbitmqctl(...args) {
        const run = promisify(execFile);
        return run(path.join(root, 'scripts/services'), ['rabbitmqctl', env('STOMPGATE_SERVICES'), ...args], { timeout: 60000 });
    }

    // Something to undo at the end, last first.
    defer(undo) {
        this.closers.push(undo);
    }

    // Stops everything and throws when a sanitizer spoke or a program ended otherwise than asked.
    async close() {
        await Promise.all(this.programs.map((program) => program.stop()));
        for (const close of this.closers.reverse()) {
            await close();
        }
        this.closers = [];
        await this.#removeQueues();
        await rm(this.folder, { recursive: true, force: true });
        const complaints = this.programs.map((program) => program.complaint()).filter(Boolean);
        if (complaints.length > 0) {
            process.exitCode = 1;
            console.error(complaints.join('\n'));
            throw new Error(complaints.join('\n'));
        }
    }

    async #removeQueues() {
        for (const kind of ['store', 'dead']) {
            await this.management.delete(`/queues/${this.vhostPath}/stompgate.${kind}.${this.tag}`).catch(() => {});
        }
    }
}

// options: database (a fresh one with the schema; migrate: false leaves it empty), vhost (a virtual host of its own), config (changes
// for every program of this harness), bin (another folder of binaries).
export function harness(options = {}) {
    return new Harness(options).open();
}

// Chromium by playwright-core; closed at the end of the harness.
export async function browser(h) {
    const { chromium } = await import('playwright-core');
    const flags = '--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking';
    const instance = await chromium.launch({
        executablePath: process.env.STOMPGATE_CHROMIUM ?? '/usr/bin/chromium',
        args: [...flags.split(' '), '--disable-component-update', '--disable-sync'],
    });
    h?.defer(() => instance.close());
    return instance;
}
