// bench/run --quick: is the shape of what it prints and writes right? All scenarios and peers gave a result, nothing was lost, nothing came
// twice, the fields are there, the plots are well-formed. Never how fast anything was: that is what bench/run is for.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CURVES, curvePlots } from '../../bench/curves.mjs';
import { peers } from '../../bench/peers.mjs';
import { parts } from '../../bench/render.mjs';
import { complaints } from '../../bench/results.mjs';
import { scenarios } from '../../bench/scenarios.mjs';
import { verdicts } from '../../bench/targets.mjs';
import { checkXml } from './xml.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

// Scenarios, as "key, case", that cannot be had yet. Whatever can be had and stands here is an error as well.
const NOT_YET = [];

let folder;
let results;
let said;
let code;

before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'stompgate-quick-'));
    const file = path.join(folder, 'quick.json');
    const args = ['--quick', '--output', file];
    [code, said] = await new Promise((resolve) => {
        execFile(path.join(root, 'bench/run'), args, { maxBuffer: 2 ** 24, timeout: 600000 }, (error, out, err) => resolve([error?.code ?? 0, { out, err }]));
    });
    results = JSON.parse(await readFile(file, 'utf8').catch(() => 'null'));
    assert.ok(results, `no results, exit code ${code}:\n${said.out}\n${said.err}`);
});

after(() => rm(folder, { recursive: true, force: true }));

function name(run) {
    return `${run.key}, ${run.case}`;
}

test('every scenario was measured on every peer that takes part', () => {
    const planned = scenarios({ quick: true, seconds: 1, most: 10000 }).flatMap(({ key, cases }) => cases.map((one) => `${key}, ${one.name}`));
    const measured = results.runs.filter((run) => !run.unavailable && !run.failed).map(name);
    assert.deepEqual(measured.sort(), planned.filter((one) => !NOT_YET.includes(one)).sort(), said.err);
    const taking = new Set(results.scenarios.flatMap(({ cases }) => cases.map(({ peer }) => peer)));
    assert.deepEqual([...taking].sort(), Object.keys(peers).sort());
});

test('nothing was lost, nothing came twice, and the exit code says so', () => {
    const wrong = complaints(results.runs.filter((run) => !NOT_YET.includes(name(run))));
    assert.deepEqual(wrong, []);
    assert.equal(code, NOT_YET.length > 0 ? 1 : 0, said.err);
});

// The fields that tables and plots are made of, by the kind of the scenario; * is each process.
const FIELDS = {
    live: ['delivered_per_s', 'cpu.us_per_delivery', 'latency_us.p50', 'latency_us.p99', 'latency_us.p99_9', 'total.lost', 'total.duplicated', 'subscribers', 'rooms'],
    curve: ['delivered_per_s', 'cpu.us_per_delivery', 'connect.processes.*.rss_bytes_per_connection', 'x'],
    idle: ['connect.seconds', 'connect.processes.*.rss_bytes_per_connection', 'connect.processes.*.cpu_us_per_connection'],
    heartbeat: ['idle.seconds', 'idle.processes.*.cpu_share'],
    stalled: ['delivered_per_s', 'latency_us.p99', 'peak_rss_bytes.gateway'],
    storm: ['storm.connections', 'storm.seconds', 'storm.per_s', 'storm.cpu_us_per_connection.*'],
    syscalls: ['delivered_per_s'],
    recover: ['recover.all_heard_ms', 'recover.publish_max_ms'],
};

function valuesOf(value, steps) {
    if (steps.length === 0) {
        return [value];
    }
    const [first, ...rest] = steps;
    const inner = first === '*' ? Object.values(value ?? {}) : [value?.[first]];
    return inner.length > 0 ? inner.flatMap((one) => valuesOf(one, rest)) : [undefined];
}

test('the fields are there, and are numbers', () => {
    const kinds = Object.fromEntries(results.scenarios.map(({ key, table }) => [key, table]));
    for (const run of results.runs.filter((one) => !NOT_YET.includes(name(one)))) {
        for (const field of FIELDS[kinds[run.key]]) {
            const values = valuesOf(run, field.split('.'));
            assert.ok(values.every((value) => Number.isFinite(value)), `${name(run)}: ${field} is ${values}`);
        }
    }
});

test('who was told to read nothing did, and system calls are counted or known not to be', () => {
    const stalled = results.runs.find((run) => run.case === '1 % stalled');
    assert.ok(stalled.stalled.n > 0);
    assert.ok(Number.isInteger(stalled.stalled.closed));
    for (const run of results.runs.filter(({ group }) => group === 'syscalls')) {
        const counted = Object.values(run.syscalls_per_delivery ?? {});
        assert.ok(counted.length > 0 && counted.every((n) => n === null || n > 0), `${name(run)}: ${counted}`);
    }
});

test('machine, versions and date are told', () => {
    assert.match(results.date, /^\d{4}-\d\d-\d\dT/);
    for (const fact of ['cpu', 'kernel', 'stompgate', 'rabbitmq', 'erlang', 'libwebsockets', 'openssl', 'nginx', 'nchan', 'node', 'ws', 'socketio']) {
        assert.match(results.machine[fact], /\w/, fact);
    }
    assert.ok(results.idle_broker.cpu_share >= 0);
    assert.ok(results.elapsed_s.all > 0);
});

test('plots are well-formed and have a point for each measurement', () => {
    const { plots } = parts(results, 'quick.json');
    assert.equal(plots.length, 1 + Object.values(CURVES).reduce((n, curve) => n + curve.plots.length, 0));
    plots.forEach(({ svg }) => checkXml(svg));
    for (const group of Object.keys(CURVES)) {
        const xs = new Set(results.runs.filter((run) => run.group === group).map(({ x }) => x));
        curvePlots(group, results.runs).forEach(({ file, svg }) => assert.ok(svg.match(/<circle /g).length >= xs.size, file));
    }
});

test('the text has a table for each scenario, and a verdict for each target', () => {
    for (const { title, table } of results.scenarios.filter((one) => one.table !== 'curve')) {
        assert.ok(said.out.includes(title), `${table}: ${title}`);
    }
    assert.equal(said.out.match(/\| +at (most|least) \d/g).length, verdicts(results.runs).length);
    assert.doesNotMatch(said.out, /NaN|undefined|\[object/);
});
