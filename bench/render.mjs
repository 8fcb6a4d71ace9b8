// From a file of results to tables and plots: as text, and into docs/PERFORMANCE.md, whose generated parts stand between
// <!-- bench:NAME --> and <!-- /bench:NAME -->. What stands around them is written by hand.
//
//     node bench/render.mjs --check [ROOT]      are the documents those of the results that they name? exit 1 when not
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { CURVES, curvePlots, curveTable } from './curves.mjs';
import { dots } from './plot.mjs';
import { cpu, median, spreadOf } from './results.mjs';
import { scenarioTable } from './table.mjs';
import { targetTable } from './targets.mjs';
import { number } from './text.mjs';

const DOCUMENT = 'docs/PERFORMANCE.md';
const PLOTS = 'docs/performance';
const MARK = /<!-- bench:([\w-]+)(?: ([^>]*?))? -->\n(?:[\s\S]*?\n)?<!-- \/bench:\1 -->/g;
const OVERVIEW = ['hot', 'slow', 'rooms', 'big'];
const PEERS = ['gateway', 'gather', 'floor', 'nchan', 'plugin', 'ws', 'socketio']; // in the order of their colours
const NAMES = {
    gateway: 'stompgate',
    plugin: 'Web STOMP',
    nchan: 'Nchan',
    ws: 'ws',
    socketio: 'socket.io',
    floor: 'bare loop',
    gather: 'gathered loop',
};

// ---- the parts ----

function overview({ scenarios, runs }) {
    const groups = OVERVIEW.map((key) => scenarios.find((scenario) => scenario.key === key)).filter(Boolean);
    return dots({
        title: 'CPU per delivery, all server processes',
        x: { label: 'µs per delivery (logarithmic); the line is the spread of the rounds' },
        groups: groups.map(({ key, title, cases }) => ({
            label: title,
            rows: cases.map(({ name }) => {
                const { n, median, low, high } = spreadOf(runs, key, name, cpu);
                return { label: NAMES[name], value: n > 0 ? median : 0, low, high, kind: Math.min(5, PEERS.indexOf(name)) };
            }),
        })),
    });
}

function factsTable({ date, machine: m, options, idle_broker, elapsed_s, runs }, file) {
    const loads = runs.map((run) => run.load_before).sort((a, b) => a - b);
    const minutes = number(elapsed_s.all / 60);
    const rows = [
        ['date', `${date.slice(0, 10)}; ${options.rounds} round${options.rounds > 1 ? 's' : ''}, ${options.seconds} s for each measurement, ${minutes} minutes in all`],
        ['every single run', `[${file}](../${file})`],
        ['what', `${m.stompgate}, ${m.commit}: ${m.compiler}, release, one reactor where nothing else is said`],
        ['its libraries', `libwebsockets ${m.libwebsockets.replace(/-$/, '')}, OpenSSL ${m.openssl}`],
        ['broker', `RabbitMQ ${m.rabbitmq} on Erlang ${m.erlang}; idle it takes ${number(100 * idle_broker.cpu_share)} % of a core`],
        ['against', 'its Web STOMP plugin; the bare loop of bench/floor.c'],
        ['', `Nchan ${m.nchan} in nginx ${m.nginx}; ws ${m.ws} and socket.io ${m.socketio} on Node ${m.node}`],
        ['machine', `${m.cpu}, ${m.cores} cores, which generator and servers share; ${m.memory}; Linux ${m.kernel}, ${m.distribution}`],
        ['open files', `${number(m.open_files, 6)} for each process at the most: that bounds the connections`],
        ['load before the runs', `${number(loads[0])} to ${number(loads.at(-1))}, median ${number(median(loads))}; what the run before left is in it`],
    ];
    return `| | |\n|---|---|\n${rows.map(([name, value]) => `| ${name} | ${value} |`).join('\n')}`;
}

function image({ title, file }) {
    return `![${title}](performance/${file})`;
}

// { name: text } and the plots, of all that a file holds.
export function parts(results, file) {
    const { scenarios, runs } = results;
    const plots = [{ file: 'overview.svg', title: 'CPU per delivery', svg: overview(results) }].filter(({ svg }) => svg);
    const texts = { facts: factsTable(results, file), targets: targetTable(runs), overview: plots.map(image).join('\n') };
    for (const scenario of scenarios.filter(({ table }) => table !== 'curve')) {
        const table = scenarioTable(scenario, runs);
        texts[scenario.key.replace('/', '-')] = [`${scenario.title}${scenario.note ? ` (${scenario.note})` : ''}`, table || 'not measured'].join('\n\n');
    }
    for (const group of Object.keys(CURVES)) {
        const own = curvePlots(group, runs);
        texts[`curve-${group}`] = [...own.map(image), curveTable(group, runs)].join('\n\n');
        plots.push(...own);
    }
    return { texts, plots };
}

// ---- out ----

export function renderText(results) {
    const { texts } = parts(results, '');
    const { overview: _, facts, targets, ...tables } = texts;
    return [facts, ...Object.values(tables).filter((text) => !text.endsWith('not measured')), 'Against what was wanted', targets].join('\n\n');
}

function filled(document, texts) {
    return document.replace(MARK, (all, name, rest) => {
        if (texts[name] === undefined) {
            throw new Error(`${DOCUMENT} wants bench:${name}, and the results have no such part`);
        }
        return `<!-- bench:${name}${rest ? ` ${rest}` : ''} -->\n${texts[name]}\n<!-- /bench:${name} -->`;
    });
}

// What the documents should be: { path: text }.
function wanted(root, file, results) {
    const { texts, plots } = parts(results, file);
    const document = filled(readFileSync(path.join(root, DOCUMENT), 'utf8'), texts);
    return { [DOCUMENT]: document, ...Object.fromEntries(plots.map(({ file: name, svg }) => [`${PLOTS}/${name}`, svg])) };
}

function plotsThere(root) {
    const folder = path.join(root, PLOTS);
    return existsSync(folder) ? readdirSync(folder).map((name) => `${PLOTS}/${name}`) : [];
}

export function writeDocuments(root, file, results) {
    const relative = path.relative(root, file);
    const files = wanted(root, relative, results);
    mkdirSync(path.join(root, PLOTS), { recursive: true });
    plotsThere(root).filter((name) => !files[name]).forEach((name) => rmSync(path.join(root, name)));
    Object.entries(files).forEach(([name, text]) => writeFileSync(path.join(root, name), text));
    console.error(`written: ${DOCUMENT} and ${Object.keys(files).length - 1} plots in ${PLOTS}`);
}

// What differs, as lines.
export function checkDocuments(root) {
    const named = /\]\(\.\.\/(bench\/results\/[^)]+\.json)\)/.exec(readFileSync(path.join(root, DOCUMENT), 'utf8'))?.[1];
    if (!named || !existsSync(path.join(root, named))) {
        return [`${DOCUMENT}: the results that it names do not exist: ${named}`];
    }
    const files = wanted(root, named, JSON.parse(readFileSync(path.join(root, named), 'utf8')));
    const isThere = (name) => existsSync(path.join(root, name)) && readFileSync(path.join(root, name), 'utf8') === files[name];
    const differs = Object.keys(files).filter((name) => !isThere(name));
    const extra = plotsThere(root).filter((name) => !files[name]);
    return [
        ...differs.map((name) => `${name}: not what bench/run --render ${named} --write makes of it`),
        ...extra.map((name) => `${name}: no plot of ${named}`),
    ];
}

if (process.argv[1] === fileURLToPath(import.meta.url) && process.argv[2] === '--check') {
    const wrong = checkDocuments(path.resolve(process.argv[3] ?? path.join(path.dirname(process.argv[1]), '..')));
    wrong.forEach((line) => console.log(line));
    process.exitCode = wrong.length > 0 ? 1 : 0;
}
