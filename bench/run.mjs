// The command: rounds in which each case of each scenario has its turn, in an order that rotates, with the same client. bench/run calls this.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { facts, idleBroker, openFiles } from './facts.mjs';
import { measure } from './loadgen.mjs';
import { root, Services, stopServers } from './peers.mjs';
import { brief } from './table.mjs';
import { renderText, writeDocuments } from './render.mjs';
import { scenarios, takesPart } from './scenarios.mjs';
import { complaints, medians } from './results.mjs';

const [bin, dir] = [process.env.STOMPGATE_BIN_DIR, process.argv[2]];
const { values: options } = parseArgs({
    args: process.argv.slice(3),
    options: {
        quick: { type: 'boolean', default: false },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        only: { type: 'string' },
        peers: { type: 'string' },
        output: { type: 'string' },
        write: { type: 'boolean', default: false },
        render: { type: 'string' },
    },
});
const { quick } = options;
const rounds = Number(options.rounds ?? (quick ? 1 : 5));
const seconds = Number(options.seconds ?? (quick ? 0.3 : 2));
const began = performance.now();
const parts = new Map(); // group -> seconds

function since(start) {
    return (performance.now() - start) / 1000;
}

function clock() {
    const s = Math.round(since(began));
    return `${String(Math.floor(s / 60)).padStart(2)}:${String(s % 60).padStart(2, '0')}`;
}

function rotated(list, by) {
    return list.map((_, i) => list[(i + by) % list.length]);
}

function isWanted(list, name) {
    return !list || list.split(',').includes(name);
}

function certificate() {
    const tls = { cert: path.join(dir, 'cert.pem'), key: path.join(dir, 'key.pem') };
    const args = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1';
    execFileSync('openssl', [...args.split(' '), '-keyout', tls.key, '-out', tls.cert], { stdio: 'ignore' });
    return tls;
}

function record(scenario, one, round, result) {
    const { key, group, x } = scenario;
    const { label, url, ...rest } = result; // they say what key and case say
    return { key, group, ...(x === undefined ? {} : { x }), case: one.name, round, ...rest };
}

async function measureAll(context) {
    const most = Math.max(10000, Math.min(18000, openFiles() - 500));
    const all = scenarios({ quick, seconds, most }).filter(({ group, key }) => isWanted(options.only, group) || isWanted(options.only, key));
    const runs = [];
    for (let round = 0; round < rounds; round++) {
        for (const scenario of all) {
            const start = performance.now();
            const taking = scenario.cases.filter((one) => isWanted(options.peers, one.peer) && takesPart(one, round, rounds));
            for (const one of rotated(taking, round)) {
                const from = performance.now();
                const run = record(scenario, one, round, await measure(context, scenario, one));
                runs.push({ ...run, took_s: Math.round(since(from) * 10) / 10 });
                console.error(`${clock()}  round ${round + 1}/${rounds}  ${scenario.key.padEnd(19)} ${one.name.padEnd(12)} ${brief(run)}`);
            }
            parts.set(scenario.group, (parts.get(scenario.group) ?? 0) + since(start));
        }
    }
    return { runs, scenarios: all };
}

// One run to a line: a file that a person can search and that git can pack.
function stringify(results) {
    const { runs, ...head } = results;
    const text = JSON.stringify(head, null, 1).replace(/\n}$/, '');
    return `${text},\n "runs": [\n${runs.map((run) => `  ${JSON.stringify(run)}`).join(',\n')}\n ]\n}\n`;
}

function save(results) {
    const name = `${results.date.slice(0, 16).replace(':', '')}.json`;
    const file = path.resolve(options.output ?? path.join(root, 'bench/results', name));
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, stringify(results));
    console.error(`written: ${path.relative(root, file)}`);
    return file;
}

function described({ cases, ...scenario }) {
    return { ...scenario, cases: cases.map(({ name, peer, args, options: its }) => ({ name, peer, args: args?.join(' '), ...its })) };
}

async function run() {
    const date = new Date().toISOString();
    const services = new Services(dir);
    const interrupted = () => stopServers().then(() => services.stop()).finally(() => process.exit(130));
    process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
    await services.start();
    try {
        const machine = await facts(bin, services);
        const idle_broker = await idleBroker(services, quick ? 1 : 5);
        const { runs, scenarios: all } = await measureAll({ services, bin, dir, quick, tls: certificate() });
        const elapsed = Object.fromEntries([...parts].map(([group, s]) => [group, Math.round(s * 10) / 10]));
        return {
            date,
            machine,
            options: { quick, rounds, seconds },
            idle_broker,
            elapsed_s: { ...elapsed, all: Math.round(since(began)) },
            scenarios: all.map(described),
            medians: medians(runs),
            runs,
        };
    } finally {
        await services.stop();
    }
}

async function main() {
    if (options.render) {
        const results = JSON.parse(readFileSync(options.render, 'utf8'));
        console.log(renderText(results));
        if (options.write) {
            writeDocuments(root, path.resolve(options.render), results);
        }
        return;
    }
    mkdirSync(dir, { recursive: true });
    const results = await run();
    const file = !quick || options.output ? save(results) : undefined;
    console.log(renderText(results));
    if (options.write && file) {
        writeDocuments(root, file, results);
    }
    const wrong = complaints(results.runs);
    wrong.forEach((line) => console.error(`wrong: ${line}`));
    const times = Object.entries(results.elapsed_s);
    console.error(`seconds: ${times.map(([group, s]) => `${group} ${s}`).join(', ')}`);
    process.exitCode = wrong.length > 0 ? 1 : 0;
}

await main();
