// Programs that are measured: started here, watched through /proc, stopped by pid.
import { spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

// What was asked for cannot be had here; a matrix goes on without it and says so.
export class Unavailable extends Error {}

export function sleep(ms) {
    return new Promise((resolve) => setTimeout(resolve, ms));
}

export async function until(predicate, what, ms = 20000) {
    const end = Date.now() + ms;
    while (!(await predicate())) {
        if (Date.now() > end) {
            throw new Error(`waited ${ms} ms in vain for ${what}`);
        }
        await sleep(20);
    }
}

// What all threads of a process have run, to the nanosecond.
export function cpuSeconds(pid) {
    const threads = readdirSync(`/proc/${pid}/task`);
    return threads.reduce((sum, id) => sum + Number(readFileSync(`/proc/${pid}/task/${id}/schedstat`, 'utf8').split(' ')[0]), 0) / 1e9;
}

// Of one core, while so many milliseconds pass.
export async function cpuShare(pid, ms) {
    const before = cpuSeconds(pid);
    const since = performance.now();
    await sleep(ms);
    return (cpuSeconds(pid) - before) / ((performance.now() - since) / 1000);
}

// Waits until a process has little to do: what the peer before it left behind is no work of the next one.
export async function quiet(pid, seconds = 30) {
    for (let i = 0; i < seconds * 4; i++) {
        if ((await cpuShare(pid, 250)) < 0.09) {
            return;
        }
    }
}

const running = new Set();

// For whoever is interrupted.
export async function stopServers() {
    await Promise.all([...running].map((server) => server.stop()));
}

// A program that says "listener.open … port=N" when it is ready, unless ready() tells otherwise.
export class Server {
    constructor(name, file, args, log, options = {}) {
        const out = openSync(log, 'w');
        this.name = name;
        this.log = log;
        this.child = spawn(file, args, { stdio: ['ignore', out, out], ...options });
        closeSync(out);
        this.pid = this.child.pid;
        running.add(this);
        this.ended = new Promise((resolve) => this.child.once('error', resolve).once('exit', resolve)).then(() => running.delete(this));
    }

    async listening(isThere = () => /listener\.open.*port=\d+/.test(readFileSync(this.log, 'utf8'))) {
        try {
            await until(async () => this.hasEnded() || (await isThere()), `${this.name} to listen`);
        } catch (error) {
            await this.stop();
            throw error;
        }
        if (this.hasEnded()) {
            throw new Error(`${this.name} ended at once:\n${readFileSync(this.log, 'utf8').slice(-2000)}`);
        }
        return this;
    }

    hasEnded() {
        return this.pid === undefined || this.child.exitCode !== null || this.child.signalCode !== null;
    }

    async stop() {
        this.child.kill('SIGTERM');
        const timer = setTimeout(() => this.child.kill('SIGKILL'), 10000);
        await this.ended;
        clearTimeout(timer);
    }
}
