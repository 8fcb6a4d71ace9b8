// Medians, spreads and ratios within rounds; what counts as wrong; the tables and verdicts made of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compared, complaints, cpu, median, medians, perCpuSecond, spread } from '../../bench/results.mjs';
import { scenarios, takesPart } from '../../bench/scenarios.mjs';
import { brief, scenarioTable } from '../../bench/table.mjs';
import { verdicts } from '../../bench/targets.mjs';
import { number, ranged, rate, table } from '../../bench/text.mjs';
import { gateway, live, scenario } from './fixture.mjs';

test('the median is the middle one, or between the two in the middle', () => {
    assert.equal(median([3, 1, 2]), 2);
    assert.equal(median([4, 1, 2, 3]), 2.5);
    assert.equal(median([1, NaN, undefined]), 1);
    assert.ok(Number.isNaN(median([])));
});

test('a spread names the least and the most', () => {
    assert.deepEqual(spread([2, NaN, 1, 4]), { n: 3, median: 2, low: 1, high: 4 });
    assert.equal(spread([]).n, 0);
});

test('a ratio is taken within a round, and its median is not that of the medians', () => {
    const runs = [];
    [1, 2, 30].forEach((us, round) => runs.push(gateway(us, { round })));
    [10, 2, 3].forEach((us, round) => runs.push(live({ name: 'floor', us, round })));
    assert.equal(compared(runs, 'hot', 'gateway', 'floor', cpu).median, 1); // 0.1, 1 and 10; of the medians: 2/3
    assert.equal(compared(runs, 'hot', 'gateway', 'floor', cpu).n, 3);
});

test('a round in which one of the two has no run has no ratio', () => {
    const runs = [gateway(1, { round: 0 }), gateway(1, { round: 1 }), live({ name: 'floor', us: 2, round: 1 })];
    assert.deepEqual(compared(runs, 'hot', 'gateway', 'floor', cpu), { n: 1, median: 0.5, low: 0.5, high: 0.5 });
    runs[2] = { ...runs[2], failed: 'no' };
    assert.equal(compared(runs, 'hot', 'gateway', 'floor', cpu).n, 0);
});

test('messages per CPU second count messages, not deliveries', () => {
    assert.equal(perCpuSecond(live({ name: 'floor', us: 5, subscribers: 1000, rooms: 500 })), 100000);
    assert.equal(perCpuSecond(live({ name: 'floor', us: 5, subscribers: 10, rooms: 1000, subscriptions: 100 })), 200000);
});

test('medians are told by scenario and case', () => {
    const found = medians([gateway(1, { round: 0 }), gateway(3, { round: 1 }), { key: 'tls', case: 'gateway', round: 0, unavailable: 'no TLS' }]);
    assert.deepEqual(Object.keys(found), ['hot']);
    assert.equal(found.hot.gateway.rounds, 2);
    assert.equal(found.hot.gateway.cpu_us_per_delivery, 2);
    assert.equal(found.hot.gateway.rss_kib_per_connection.broker, 4);
});

for (const [what, run, why] of [
    ['a message that was lost', { total: { lost: 1, duplicated: 0, foreign: 0 } }, /"lost":1/],
    ['a message that came twice', { total: { lost: 0, duplicated: 2, foreign: 0 } }, /"duplicated":2/],
    ['a message of somebody else', { total: { lost: 0, duplicated: 0, foreign: 3 } }, /"foreign":3/],
    ['a client that was thrown out', { closed: 1 }, /"closed":1/],
    ['a run in which nothing came', { delivered: 0 }, /hot, gateway, round 1/],
    ['a run that came to a halt', { given_up: true }, /"given_up":true/],
    ['a client that failed in a storm', { storm: { failed: 2 } }, /"failed":2/],
    ['a run that failed', { failed: 'loadgen failed' }, /loadgen failed/],
    ['what is not available', { unavailable: 'no TLS' }, /not available: no TLS/],
]) {
    test(`complains of ${what}`, () => {
        const found = complaints([gateway(1, run)]);
        assert.equal(found.length, 1);
        assert.match(found[0], why);
    });
}

test('complains of nothing else, and not of stalled clients that were closed', () => {
    assert.deepEqual(complaints([gateway(1), gateway(1, { stalled: { n: 5, closed: 5 } })]), []);
    assert.equal(complaints([gateway(1, { closed: 1, stalled: { n: 5, closed: 5 } })]).length, 1);
});

test('numbers keep three digits that count', () => {
    assert.deepEqual([0, 0.012345, 1.2345, 12.345, 1234.5, 12345.6, NaN].map((n) => number(n)), ['0', '0.0123', '1.23', '12.3', '1,235', '12,346', '–']);
    assert.deepEqual([999, 25416, 2992698].map(rate), ['999', '25.4 k', '2.99 M']);
    assert.equal(ranged({ n: 3, median: 2, low: 1, high: 4 }), '2 (1–4)');
    assert.equal(ranged({ n: 1, median: 2, low: 2, high: 2 }), '2');
});

test('a table is Markdown whose columns stand below each other', () => {
    assert.equal(table(['a', 'bb'], [['long', '1']]), '| a    | bb |\n|------|---:|\n| long |  1 |');
});

test('the table of a scenario has medians, parts and ratios', () => {
    const runs = [gateway(2), live({ name: 'plugin', us: 100 }), live({ name: 'floor', us: 4 }), live({ name: 'gather', us: 1 })];
    const text = scenarioTable(scenario('hot', ['gateway', 'plugin', 'floor', 'gather', 'ws']), runs);
    const [head, , first, ...rest] = text.split('\n').map((line) => line.replace(/ +/g, ' '));
    assert.equal(head, '| | delivered/s | CPU µs per delivery | p50 / p99 / p99.9 ms | lost / twice | × floor | × gather | times less than the plugin |');
    assert.equal(first, '| gateway | 500 k | 2: gateway 1.6, broker 0.4 | 1 / 2 / 3 | 0 / 0 | 0.5 | 2 | 50 |');
    assert.equal(rest.length, 3, 'who did not take part has no row');
});

test('what failed has a row that says so, and one line while it runs', () => {
    const run = { key: 'tls', case: 'gateway', round: 0, unavailable: 'this build has no TLS' };
    assert.match(scenarioTable(scenario('tls', ['gateway']), [run]), /gateway \| not available/);
    assert.equal(brief(run), 'not available: this build has no TLS');
});

test('a target is reached or not by the median of its ratios', () => {
    const runs = [gateway(1.25), live({ name: 'gather', us: 1 }), live({ name: 'plugin', us: 100 })];
    const [first, second, third, fourth] = verdicts(runs);
    assert.deepEqual([first.measured, first.reached], ['1×', true]); // 0.8 of 1.25
    assert.deepEqual([second.measured, second.reached], ['1.25×', true]);
    assert.deepEqual([third.measured, third.reached], ['80×', true]);
    assert.deepEqual([fourth.measured, fourth.reached, fourth.wanted], ['1 M/s', false, 'at least 3 M/s']);
    const dear = verdicts([gateway(2), live({ name: 'gather', us: 1 })]);
    assert.deepEqual(dear.slice(0, 3).map(({ reached }) => reached), [false, false, undefined]);
});

test('memory of the stalled is what they added to the peak, each', () => {
    const peak = (mib) => ({ peak_rss_bytes: { gateway: mib * 2 ** 20 } });
    const runs = [
        live({ key: 'stalled', name: 'all read', us: 1, ...peak(20) }),
        live({ key: 'stalled', name: '1 % stalled', us: 1, p99: 2200, stalled: { n: 5, closed: 5 }, ...peak(22) }),
    ];
    const [p99, closed, memory] = verdicts(runs).slice(-3);
    assert.deepEqual([p99.measured, p99.reached], ['1.1×', true]);
    assert.deepEqual([closed.measured, closed.reached], ['100 %', true]);
    assert.deepEqual([memory.measured, memory.reached], ['0.4 MiB', true]);
});

test('the matrix names each scenario once, and each case within it', () => {
    for (const quick of [true, false]) {
        const all = scenarios({ quick, seconds: 1, most: 18000 });
        assert.equal(new Set(all.map(({ key }) => key)).size, all.length);
        for (const { key, cases, title, table: kind } of all) {
            assert.ok(title && kind, key);
            assert.equal(new Set(cases.map(({ name }) => name)).size, cases.length, key);
            assert.ok(cases.every(({ args, recover }) => recover || args.every((arg) => arg !== undefined && arg !== '')), key);
        }
    }
});

test('a case has its share of the rounds, and one at least', () => {
    const taking = (rounds, of) => [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].filter((round) => round < of && takesPart({ rounds }, round, of)).length;
    assert.deepEqual([taking(5, 5), taking(3, 5), taking(5, 1), taking(1, 1), taking(2, 1), taking(3, 10)], [5, 3, 1, 1, 1, 6]);
});
