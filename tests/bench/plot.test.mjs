// Plots: well-formed, readable, and the same bytes for the same figures.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { curvePlots, curveTable } from '../../bench/curves.mjs';
import { dots, lines, logTicks, shortNumber } from '../../bench/plot.mjs';
import { gateway, live } from './fixture.mjs';
import { checkXml } from './xml.mjs';

const axes = { title: 'A < B & "C"', x: { label: 'clients', format: String }, y: { label: 'µs' } };
const point = (x, y) => ({ x, y, low: y * 0.9, high: y * 1.2 });

function numbersOf(svg, name) {
    return [...svg.matchAll(new RegExp(` ${name}="([^"]*)"`, 'g'))].map(([, value]) => Number(value));
}

test('ticks are 1, 2, 5 in each decade, from below the least to above the most', () => {
    assert.deepEqual(logTicks(0.3, 7), [0.2, 0.5, 1, 2, 5, 10]);
    assert.deepEqual(logTicks(1, 1), [0.5, 1]);
    assert.deepEqual(logTicks(2, 5), [2, 5]);
    assert.deepEqual([0.5, 1, 1500, 2500000].map(shortNumber), ['0.5', '1', '1.5 k', '2.5 M']);
});

test('a plot is well-formed, says its title, and draws each series', () => {
    const svg = lines({ ...axes, series: [{ label: 'one', points: [point(1, 2), point(10, 4)] }, { label: 'two', points: [point(1, 20), point(10, 3)] }] });
    checkXml(svg);
    assert.match(svg, /<text [^>]*class="title">A &lt; B &amp; &quot;C&quot;<\/text>/);
    assert.equal(svg.match(/<path /g).length, 2);
    assert.equal(svg.match(/<circle /g).length, 4);
    assert.match(svg, />one<\/text>/);
    assert.match(svg, />two<\/text>/);
    assert.match(svg, /prefers-color-scheme: dark/);
});

test('the same figures make the same bytes', () => {
    const make = () => lines({ ...axes, series: [{ label: 'one', points: [point(1, 2), point(10, 4)] }] });
    assert.equal(make(), make());
});

test('axes are logarithmic: equal ratios are equal distances', () => {
    const svg = lines({ ...axes, series: [{ label: 'one', points: [point(1, 1), point(10, 10), point(100, 100)] }] });
    const [xs, ys] = [numbersOf(svg, 'cx'), numbersOf(svg, 'cy')];
    assert.ok(Math.abs(xs[2] - xs[1] - (xs[1] - xs[0])) < 0.2, String(xs));
    assert.ok(Math.abs(ys[2] - ys[1] - (ys[1] - ys[0])) < 0.2, String(ys));
    assert.ok(ys[2] < ys[0], 'more is higher');
});

test('what a logarithmic axis cannot show is left out', () => {
    const svg = lines({ ...axes, series: [{ label: 'one', points: [{ x: 1, y: 0 }, point(10, 1)] }, { label: 'none', points: [] }] });
    assert.equal(svg.match(/<circle /g).length, 1);
    assert.doesNotMatch(svg, />none</);
    assert.doesNotMatch(svg, /NaN|Infinity/);
    assert.equal(lines({ ...axes, series: [] }), '');
});

test('names of lines that end in one place do not cover each other', () => {
    const series = ['a', 'b', 'c'].map((label) => ({ label, points: [point(1, 1), point(10, 1)] }));
    const svg = lines({ ...axes, series });
    const ys = [...svg.matchAll(/<text [^>]*y="([\d.]+)" class="f\d">/g)].map(([, y]) => Number(y)).sort((a, b) => a - b);
    assert.equal(ys.length, 3);
    assert.ok(ys[1] - ys[0] >= 14 && ys[2] - ys[1] >= 14, String(ys));
});

test('rows of dots: one for each figure, within the picture', () => {
    const rows = [{ label: 'us', value: 0.3, low: 0.2, high: 0.4, kind: 0 }, { label: 'them', value: 60, low: 50, high: 70, kind: 4 }, { label: 'nobody', value: 0, kind: 1 }];
    const svg = dots({ title: 'CPU', x: { label: 'µs' }, groups: [{ label: 'hot', rows }, { label: 'empty', rows: [] }] });
    checkXml(svg);
    assert.equal(svg.match(/<circle /g).length, 2);
    assert.doesNotMatch(svg, />nobody<|>empty<|NaN/);
    const height = Number(/ height="(\d+)"/.exec(svg)[1]);
    assert.ok(numbersOf(svg, 'cy').every((y) => y > 0 && y < height));
    assert.equal(dots({ title: 'CPU', x: { label: 'µs' }, groups: [] }), '');
});

test('a curve takes the points of its group and those of other scenarios that lie on it', () => {
    const at = (x, us) => gateway(us, { key: `connections/${x}`, x });
    const runs = [at(10, 4), at(10000, 2), gateway(1), live({ key: 'connections/10', name: 'nchan', us: 8, x: 10 })];
    const [cpu] = curvePlots('connections', runs);
    assert.equal(cpu.file, 'connections-cpu.svg');
    assert.equal(cpu.svg.match(/<circle /g).length, 3 + 3 + 1);
    const rows = curveTable('connections', runs).split('\n').slice(2);
    assert.deepEqual(rows.map((row) => row.split('|')[1].trim()), ['10', '1 k', '10 k']);
});
