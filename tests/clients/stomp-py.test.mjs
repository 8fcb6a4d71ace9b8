// Debian's python3-stomp, unmodified, over TCP and over WebSocket: its tests are in python/, and each of their results is one here. RabbitMQ's
// own plugin is asked the same over TCP, so that what these tests want is what a client of RabbitMQ has. (Over WebSocket it loses the RECEIPT
// of DISCONNECT, which stomp.py waits for.)
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { harness } from '../lib/harness.mjs';
import { config } from './target.mjs';

// Another python3 may come first on the PATH, and knows nothing of Debian's packages.
const PYTHON = '/usr/bin/python3';
const PROGRAM = fileURLToPath(new URL('python/run.py', import.meta.url));
const LIMIT_MS = 240000;

let h;
let gw;

before(async () => {
    h = await harness({ vhost: true, config });
    gw = await h.gateway();
});

after(() => h.close());

// { planned, results: [{ name, ok, why }], code, stderr }
async function run(url, version) {
    const environment = { ...process.env, PYTHONDONTWRITEBYTECODE: '1' };
    const child = spawn(PYTHON, [PROGRAM, url, version], { stdio: ['ignore', 'pipe', 'pipe'], cwd: path.dirname(PROGRAM), env: environment });
    const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
    const said = { stdout: '', stderr: '' };
    for (const name of Object.keys(said)) {
        child[name].setEncoding('utf8').on('data', (text) => (said[name] += text));
    }
    const code = await new Promise((resolve) => child.once('close', resolve));
    clearTimeout(timer);
    const results = [];
    for (const line of said.stdout.split('\n')) {
        const [, not, name] = /^(not )?ok \d+ - (.*)$/.exec(line) ?? [];
        if (name) {
            results.push({ name, ok: !not, why: [] });
        } else if (line.startsWith('# ')) {
            results.at(-1).why.push(line.slice(2));
        }
    }
    return { planned: Number(/^1\.\.(\d+)/.exec(said.stdout)?.[1]), results, code, stderr: said.stderr };
}

const vhost = () => encodeURIComponent(h.vhost);

// How many tests there are of each version.
const TCP = { '1.0': 59, '1.1': 68, '1.2': 67 };
const WS = { '1.0': 56, '1.1': 64, '1.2': 64 };

const targets = [
    ['over TCP', TCP, () => `tcp://guest:guest@127.0.0.1:${gw.tcpPort}/${vhost()}`],
    ['over WebSocket', WS, () => `ws://guest:guest@127.0.0.1:${gw.port}/ws?vhost=${vhost()}`],
    ["to RabbitMQ's own plugin, over TCP", TCP, () => `tcp://guest:guest@${process.env.STOMPGATE_PEER_STOMP}/${vhost()}`],
];

describe('stomp.py', { concurrency: true }, () => {
    for (const [where, counts, url] of targets) {
        for (const [version, expected] of Object.entries(counts)) {
            test(`${version} ${where}`, async (t) => {
                const { planned, results, code, stderr } = await run(url(), version);
                for (const result of results) {
                    await t.test(result.name, () => assert.ok(result.ok, result.why.join('\n')));
                }
                await t.test('every test ran', () => {
                    assert.equal(results.length, planned, stderr);
                    assert.equal(planned, expected);
                    assert.equal(code, results.every(({ ok }) => ok) ? 0 : 1);
                });
            });
        }
    }
});
