// Spring's STOMP clients and its broker relay in front of two gateways: starts these, lets Maven build and run what is in src/, and makes
// a test of its own of each Java test.
//
// STOMPGATE_SPRING_SERVER=rabbitmq runs them against RabbitMQ's own STOMP plugins instead, to see what holds there:
//
//     scripts/services start .run/peer --stomp --web-stomp && set -a && . .run/peer/env
//     STOMPGATE_SPRING_SERVER=rabbitmq STOMPGATE_SERVICES=$SG_DIR STOMPGATE_AMQP=127.0.0.1:$SG_AMQP_PORT \
//         STOMPGATE_MANAGEMENT=$SG_MANAGEMENT_URL STOMPGATE_BIN_DIR=- node --test tests/spring/spring.test.mjs
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, rm } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { harness, root, waitFor } from '../lib/harness.mjs';

const MAVEN_MS = 600000; // the first time, it fetches what it needs
const UNREACHABLE = /Could not (?:transfer|find) artifact|Failure to (?:transfer|find)|Unknown host|Network is unreachable/;
const reports = path.join(root, 'build/spring/surefire-reports');
const config = {
    gateway: { anonymous: false },
    user: [{ login: 'guest', password: 'guest' }],
    heartbeat: { send_ms: 1000, receive_ms: 1000 },
    tcp: { enabled: true, port: 0 },
    route: [{ prefix: '/queue/', send: ['*'], subscribe: ['*'] }],
};

// ---- what is tested --------------------------------------------------------------------------------------------------

// { ws, tcp, vhost } for the tests; stop() and start() end the second server and start it again on its ports, restartBroker() is
// for RabbitMQ behind both.
async function gateways() {
    const h = await harness({ vhost: true, config });
    const first = await h.gateway();
    let second = await h.gateway();
    const ports = { gateway: { port: second.port }, tcp: { port: second.tcpPort } };
    return {
        ws: first.url,
        tcp: [first, second].map((gw) => `127.0.0.1:${gw.tcpPort}`).join(),
        vhost: h.vhost,
        stop: () => second.stop(),
        start: async () => (second = await h.gateway(ports)),
        restartBroker: () => h.services('restart-rabbit'),
        leftovers: () => leftovers(h, [first, second]),
        close: () => h.close(),
    };
}

// What is still there of sessions that have gone, by name; empty in the end.
async function leftovers(h, all) {
    const gauges = ['sessions', 'subscriptions', 'private_channels', 'private_consumers'].map((name) => `stompgate_${name}`);
    const counts = await Promise.all(all.flatMap((gw) => gauges.map(async (name) => [name, await gw.metric(name)])));
    const queues = await h.management.get(`/queues/${h.vhostPath}`);
    const ofUsers = queues.map((queue) => queue.name).filter((name) => name.includes('-user'));
    return [...counts.filter(([, count]) => count !== 0).flat(), ...ofUsers];
}

async function plugin() {
    const h = await harness();
    const address = `127.0.0.1:${process.env.SG_STOMP_PORT}`;
    return {
        ws: `ws://127.0.0.1:${process.env.SG_WEB_STOMP_PORT}/ws`,
        tcp: [address, address].join(),
        vhost: '/',
        stop: () => h.services('stop-rabbit'),
        start: () => h.services('start-rabbit'),
        close: () => h.close(),
    };
}

// POST /stop, /start, /restart-broker: for tests that take something away.
async function control(servers) {
    const verbs = { '/stop': servers.stop, '/start': servers.start, '/restart-broker': servers.restartBroker };
    const server = http.createServer(async (request, response) => {
        try {
            await verbs[request.url]();
            response.end();
        } catch (error) {
            response.writeHead(500).end(String(error));
        }
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return server;
}

// ---- Maven -----------------------------------------------------------------------------------------------------------

async function maven(environment) {
    // --update-snapshots: ask again for what could not be had the last time
    const args = ['--batch-mode', '--no-transfer-progress', '--update-snapshots', '-Dmaven.test.failure.ignore=true', 'test'];
    const child = spawn('mvn', args, { cwd: path.join(root, 'tests/spring'), env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
    const timer = setTimeout(() => child.kill(), MAVEN_MS);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text) => (output += text));
    }
    child.once('error', (error) => (output += error));
    const [code] = await once(child, 'close');
    clearTimeout(timer);
    return { code, output };
}

function text(xml) {
    const names = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };
    return xml
        .replace(/<!\[CDATA\[([\s\S]*?)\]\]>/g, '$1')
        .replace(/&(?:#(\d+)|(\w+));/g, (_, code, name) => (code ? String.fromCodePoint(code) : names[name]));
}

// The cases of one of Surefire's reports; of no other XML, so that needs no parser.
function cases(xml) {
    return [...xml.matchAll(/<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)].map(([, attributes, inside = '']) => {
        const [, name] = /\bname="([^"]*)"/.exec(attributes);
        const [, suite] = /\bclassname="([^"]*)"/.exec(attributes);
        const failure = /<(?:failure|error)\b[^>]*?(?:\/>|>([\s\S]*?)<\/(?:failure|error)>)/.exec(inside);
        return { name: text(name), suite, failure: failure && text(failure[1] ?? 'failed'), isSkipped: inside.includes('<skipped') };
    });
}

async function results() {
    const names = (await readdir(reports).catch(() => [])).filter((name) => /^TEST-.*\.xml$/.test(name));
    const all = await Promise.all(names.sort().map((name) => readFile(path.join(reports, name), 'utf8')));
    const suites = new Map();
    for (const item of all.flatMap(cases)) {
        suites.set(item.suite, [...(suites.get(item.suite) ?? []), item]);
    }
    return suites;
}

async function play() {
    await rm(reports, { recursive: true, force: true });
    const servers = await (process.env.STOMPGATE_SPRING_SERVER === 'rabbitmq' ? plugin() : gateways());
    const door = await control(servers);
    after(async () => {
        door.close();
        await servers.close();
    });
    const run = await maven({
        STOMPGATE_SPRING_SERVER: 'stompgate',
        ...process.env,
        STOMPGATE_SPRING_WS: servers.ws,
        STOMPGATE_SPRING_TCP: servers.tcp,
        STOMPGATE_SPRING_VHOST: servers.vhost,
        STOMPGATE_SPRING_CONTROL: `http://127.0.0.1:${door.address().port}`,
    });
    return { ...run, suites: await results(), leftovers: servers.leftovers };
}

const run = await play();

// scripts/test looks for this name, to say so in its last line.
test(run.code !== 0 && UNREACHABLE.test(run.output) ? 'Maven Central cannot be reached' : 'Maven builds and runs the Java tests', () => {
    assert.equal(run.code, 0, run.output.slice(-20000));
    assert.ok(run.suites.size > 0, 'no Java test ran');
});

// A class that Maven does not pick up would be missed by nobody.
test('every Java test ran', async () => {
    const folder = path.join(root, 'tests/spring/src/test/java/stompgate');
    const read = (name) => readFile(path.join(folder, name), 'utf8');
    const count = (source) => source.match(/^\s*@(?:Parameterized)?Test\b/gm).length; // of these each runs once at least
    const contract = count(await read('ClientContract.java'));
    for (const file of (await readdir(folder)).filter((name) => name.endsWith('Test.java'))) {
        const source = await read(file);
        const wanted = count(source) + (source.includes('extends ClientContract') ? contract : 0);
        const ran = run.suites.get(`stompgate.${path.basename(file, '.java')}`)?.length ?? 0;
        assert.ok(ran >= wanted, `${ran} of the ${wanted} tests of ${file}`);
    }
});

for (const [suite, list] of run.suites) {
    describe(suite, () => {
        for (const { name, failure, isSkipped } of list) {
            test(name, { skip: isSkipped }, () => assert.ok(!failure, failure));
        }
    });
}

if (run.leftovers) {
    test('nothing is left of all these sessions', async () => {
        let left;
        const isNothing = async () => (left = await run.leftovers()).length === 0;
        await waitFor(isNothing).catch(() => assert.deepEqual(left, []));
    });
}
