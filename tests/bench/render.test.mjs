// Documents are those of the results that they name: written, checked, and found out when somebody improves a figure.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { checkDocuments, renderText, writeDocuments } from '../../bench/render.mjs';
import { gateway, live, results, scenario } from './fixture.mjs';

const made = results([gateway(2), live({ name: 'floor', us: 4 }), gateway(3, { key: 'body/16', x: 16 })], [scenario('hot', ['gateway', 'floor'])]);
const page = (names) => `by hand\n${names.map((name) => `<!-- bench:${name} -->\n<!-- /bench:${name} -->\nand by hand\n`).join('')}`;
const folders = [];

after(() => folders.forEach((folder) => rmSync(folder, { recursive: true })));

function written(names = ['facts', 'hot', 'overview', 'curve-body', 'targets']) {
    const root = mkdtempSync(path.join(tmpdir(), 'stompgate-render-'));
    folders.push(root);
    mkdirSync(path.join(root, 'docs/performance'), { recursive: true });
    mkdirSync(path.join(root, 'bench/results'), { recursive: true });
    const file = path.join(root, 'bench/results/some.json');
    writeFileSync(file, JSON.stringify(made));
    writeFileSync(path.join(root, 'docs/performance/old.svg'), '<svg/>');
    writeFileSync(path.join(root, 'docs/PERFORMANCE.md'), page(names));
    writeDocuments(root, file, made);
    return { root, file, document: path.join(root, 'docs/PERFORMANCE.md') };
}

test('tables and plots go between their marks, and what is by hand stays', () => {
    const { root, document } = written();
    const text = readFileSync(document, 'utf8');
    assert.match(text, /^by hand\n<!-- bench:facts -->\n\| \| \|/);
    assert.match(text, /<!-- bench:hot -->\nthe scenario hot\n\n\| +\| delivered\/s/);
    assert.match(text, /!\[CPU per delivery\]\(performance\/overview\.svg\)/);
    assert.match(text, /at least 3 M\/s \| +0\.625 M\/s \| \*\*not reached\*\*/);
    assert.equal(text.match(/and by hand/g).length, 5);
    assert.ok(readdirSync(path.join(root, 'docs/performance')).includes('body-cpu.svg'));
    assert.ok(!readdirSync(path.join(root, 'docs/performance')).includes('old.svg'), 'a plot that nobody makes any more goes');
    assert.deepEqual(checkDocuments(root), []);
});

test('writing again changes nothing', () => {
    const { root, file, document } = written();
    const before = readFileSync(document, 'utf8');
    writeDocuments(root, file, made);
    assert.equal(readFileSync(document, 'utf8'), before);
});

for (const [what, name, change, why] of [
    ['a figure', 'docs/PERFORMANCE.md', (t) => t.replace('0.625 M/s', '3.625 M/s'), /PERFORMANCE\.md: not what/],
    ['a plot', 'docs/performance/overview.svg', (t) => t.replace('<circle', '<ellipse'), /overview\.svg: not what/],
    ['a result', 'bench/results/some.json', (t) => t.replaceAll('"us_per_delivery":4', '"us_per_delivery":5'), /PERFORMANCE\.md: not what/],
    ['the name of the results', 'docs/PERFORMANCE.md', (t) => t.replaceAll('results/some.json', 'results/none.json'), /do not exist: bench\/results\/none\.json/],
]) {
    test(`finds ${what} that was changed`, () => {
        const { root } = written();
        const file = path.join(root, name);
        const text = readFileSync(file, 'utf8');
        assert.notEqual(change(text), text);
        writeFileSync(file, change(text));
        assert.match(checkDocuments(root).join('\n'), why);
    });
}

test('finds a plot that is too many', () => {
    const { root } = written();
    writeFileSync(path.join(root, 'docs/performance/extra.svg'), '<svg/>');
    assert.deepEqual(checkDocuments(root), ['docs/performance/extra.svg: no plot of bench/results/some.json']);
});

test('a mark that the results know nothing of is an error', () => {
    assert.throws(() => written(['facts', 'hoot']), /wants bench:hoot/);
});

test('as text: the facts first, the verdicts last, nothing of what was not measured', () => {
    const text = renderText({ ...made, scenarios: [...made.scenarios, scenario('slow', ['gateway'])] });
    assert.match(text, /^\| \| \|\n\|---\|---\|\n\| date \| 2026-01-02/);
    assert.match(text, /Against what was wanted\n\n\| scenario/);
    assert.doesNotMatch(text, /the scenario slow/);
});
