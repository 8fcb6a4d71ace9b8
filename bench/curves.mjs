// What grows with what: the curves, as plots and as tables.
import { cpu, cpuOf, delivered, kibOf, spreadOf } from './results.mjs';
import { lines } from './plot.mjs';
import { ranged, table } from './text.mjs';

const count = (n) => (n >= 1e6 ? `${n / 1e6} M` : n >= 1e3 ? `${n / 1e3} k` : String(n));
const bytes = (n) => (n >= 2 ** 20 ? `${n / 2 ** 20} MiB` : n >= 1024 ? `${n / 1024} KiB` : `${n} B`);

const all = (name, label = name) => ({ label, name, pick: cpu });
const one = (process, label) => ({ label, name: 'gateway', pick: cpuOf(process) });
const kib = (name, process, label = name) => ({ label, name, pick: kibOf(process) });

// `also`: a scenario that is a point of this curve as well.
export const CURVES = {
    connections: {
        x: { label: 'subscribers of one topic', format: count },
        also: { 1000: 'hot' },
        plots: [
            {
                file: 'connections-cpu',
                title: 'CPU per delivery, closed loop',
                y: 'µs per delivery',
                series: [one('gateway', 'gateway'), all('gateway', 'gateway + broker'), all('nchan', 'Nchan'), all('gather', 'gathered loop')],
            },
            {
                file: 'connections-memory',
                title: 'Memory per connection (RSS of the server)',
                y: 'KiB per connection',
                series: [kib('gateway', 'gateway'), kib('nchan', 'nginx', 'Nchan'), kib('gather', 'floor', 'bare loop')],
            },
        ],
    },
    destinations: {
        x: { label: 'destinations, one subscriber each', format: count },
        plots: [
            {
                file: 'destinations-cpu',
                title: 'CPU per message, closed loop',
                y: 'µs per message',
                series: [one('gateway', 'gateway'), one('broker', 'broker')],
            },
        ],
    },
    body: {
        x: { label: 'bytes of a body', format: bytes },
        plots: [
            {
                file: 'body-cpu',
                title: 'CPU per delivery, 100 subscribers, closed loop',
                y: 'µs per delivery',
                series: [one('gateway', 'gateway'), all('gateway', 'gateway + broker'), all('gather', 'gathered loop')],
            },
        ],
    },
    reactors: {
        x: { label: 'reactors (threads)', format: count },
        also: { 1: 'hot' },
        plots: [
            {
                file: 'reactors-cpu',
                title: 'CPU per delivery, 1,000 subscribers',
                y: 'µs per delivery',
                series: [one('gateway', 'gateway'), all('gateway', 'gateway + broker')],
            },
            {
                file: 'reactors-rate',
                title: 'Deliveries, 1,000 subscribers',
                y: 'deliveries/s',
                series: [{ label: 'gateway', name: 'gateway', pick: delivered }],
            },
        ],
    },
};

// The scenarios of a group by where they stand on its axis.
function keysOf(group, runs) {
    const also = Object.entries(CURVES[group].also ?? {}).map(([x, key]) => [Number(x), key]);
    const own = runs.filter((run) => run.group === group).map((run) => [run.x, run.key]);
    return [...new Map([...also, ...own])].sort(([a], [b]) => a - b);
}

function pointsOf(series, keys, runs) {
    return keys
        .map(([x, key]) => ({ x, ...spreadOf(runs, key, series.name, series.pick) }))
        .filter(({ n }) => n > 0)
        .map(({ x, median, low, high }) => ({ x, y: median, low, high }));
}

// [{ file, svg }]
export function curvePlots(group, runs) {
    const { x, plots } = CURVES[group];
    const keys = keysOf(group, runs);
    return plots
        .map(({ file, title, y, series }) => ({
            file: `${file}.svg`,
            title,
            svg: lines({ title, x, y: { label: y }, series: series.map((s) => ({ label: s.label, points: pointsOf(s, keys, runs) })) }),
        }))
        .filter(({ svg }) => svg);
}

export function curveTable(group, runs) {
    const { x, plots } = CURVES[group];
    const keys = keysOf(group, runs);
    const columns = plots.flatMap(({ y, series }) => series.map((s) => ({ ...s, title: `${s.label}, ${y}` })));
    const rows = keys.map(([at, key]) => [x.format(at), ...columns.map((s) => ranged(spreadOf(runs, key, s.name, s.pick)))]);
    return table([x.label, ...columns.map(({ title }) => title)], rows);
}
