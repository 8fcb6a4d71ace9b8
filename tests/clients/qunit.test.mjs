// The QUnit tests that ship inside @stomp/stompjs 4.0.8, as npm has them: in Chromium by their own page, and in Node over two other
// WebSockets. Ours is only what they leave to their user: the configuration.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { browser } from '../lib/harness.mjs';
import { isPlugin, target } from './target.mjs';

const require = createRequire(import.meta.url);
const PACKAGE = path.dirname(require.resolve('stompjs-v4/package.json'));
const QUNIT = path.dirname(require.resolve('qunit'));
const LIMIT_MS = 120000;

// It asks for the version of a client that is not connected yet, finds none, and leaves before it asserts anything.
const ASSERTS_NOTHING = ['Stomp Subscription > Should receive messages with special chars in headers'];

// RabbitMQ's plugin (3.10) closes the WebSocket before the RECEIPT of DISCONNECT is out (rabbitmq-server#6737). Nothing fails at our gateway.
const FAIL = isPlugin ? ['Stomp Connection > Disconnect', 'Stomp Reconnect > Should allow disconnecting'] : [];

let h;
let gw;

before(async () => {
    ({ h, gw } = await target({ gateway: { origins: ['*'] } }));
});

after(() => h.close());

function settings(destination) {
    return { destination, login: 'guest', password: 'guest', url: gw.url, badUrl: 'ws://127.0.0.1:1', timeout: 2000 };
}

// In place of the package's config/browser-config.js, which says where a server may be, and of jQuery, which only that file uses.
function browserConfig() {
    return `
        TEST = { ...${JSON.stringify(settings('/topic/chat.general'))}, debug() {} };
        badStompClient = () => Stomp.client(TEST.badUrl);
        stompClient = () => Stomp.client(TEST.url);
        QUnit.config.testTimeout = 10000;
        results = [];
        QUnit.on('testEnd', (result) => results.push(result));
        QUnit.on('runEnd', () => { isOver = true; });
        isOver = false;`;
}

const OURS = { '/tests/config/browser-config.js': browserConfig, '/node_modules/jquery/dist/jquery.min.js': () => '' };

async function answer(request, response) {
    const where = new URL(request.url, 'http://localhost').pathname;
    const file = where.startsWith('/node_modules/qunitjs/qunit/') ? path.join(QUNIT, path.basename(where)) : path.join(PACKAGE, where);
    const body = OURS[where]?.() ?? (await readFile(file).catch(() => null));
    response.writeHead(body === null ? 404 : 200, { 'content-type': where.endsWith('.html') ? 'text/html' : 'text/javascript' });
    response.end(body);
}

async function serve() {
    const server = http.createServer(answer).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    h.defer(() => new Promise((resolve) => server.close(resolve)));
    return `http://127.0.0.1:${server.address().port}`;
}

async function inChromium() {
    const origin = await serve();
    const page = await (await browser(h)).newPage();
    const problems = [];
    page.on('pageerror', (error) => problems.push(error));
    await page.goto(`${origin}/tests/index.html`);
    await page.waitForFunction('isOver', undefined, { timeout: LIMIT_MS });
    assert.deepEqual(problems, []);
    const results = await page.evaluate('results');
    await page.close();
    return results;
}

async function inNode(how) {
    const program = fileURLToPath(new URL('qunit-node.cjs', import.meta.url));
    const run = promisify(execFile);
    const config = JSON.stringify({ ...settings(`/topic/chat.${how}`), how, folder: PACKAGE, qunit: QUNIT });
    const { stdout } = await run(process.execPath, [program, config], { timeout: LIMIT_MS });
    return JSON.parse(stdout);
}

// How many tests the package's files hold.
async function count() {
    const folder = path.join(PACKAGE, 'tests/unit');
    const texts = await Promise.all((await readdir(folder)).map((name) => readFile(path.join(folder, name), 'utf8')));
    return texts.join('\n').match(/^\s*QUnit\.test\(/gm).length;
}

function why({ assertions, status }) {
    return [status, ...assertions.filter(({ passed }) => !passed).map((assertion) => JSON.stringify(assertion))].join('\n');
}

describe('@stomp/stompjs 4.0.8, its own tests', () => {
    for (const [name, run] of [
        ['in Chromium', inChromium],
        ['in Node, over ws', () => inNode('ws')],
        ['in Node, over websocket', () => inNode('websocket')],
    ]) {
        test(name, async (t) => {
            const results = await run();
            for (const result of results) {
                const full = result.fullName.join(' > ');
                await t.test(full, () => assert.equal(result.status, FAIL.includes(full) ? 'failed' : 'passed', why(result)));
            }
            await t.test('every test ran, and asserted something', async () => {
                const silent = results.filter(({ assertions }) => assertions.length === 0);
                assert.equal(results.length, await count());
                assert.equal(results.length, 38);
                assert.deepEqual(silent.map(({ fullName }) => fullName.join(' > ')), ASSERTS_NOTHING);
            });
        });
    }
});
