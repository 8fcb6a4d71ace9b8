// The chat page in a real Chromium: two people on two gateways, a third who comes late, a broker that goes and comes back.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import path from 'node:path';
import { browser, harness, root, unique, waitFor } from '../lib/harness.mjs';
import { Wire } from '../lib/wire.mjs';

// on_gap: what a subscriber gets who missed something while the broker was away.
function topic(onGap) {
    return { prefix: '/topic/', store: true, on_gap: onGap };
}

let h;
let chromium;
let gateways;

before(async () => {
    const config = { gateway: { files: path.join(root, 'examples/chat') }, route: [topic('fill')] };
    h = await harness({ database: true, config });
    gateways = await Promise.all([h.gateway(), h.gateway()]);
    await h.worker();
    chromium = await browser(h);
});

after(() => h.close());

// A person with a name, in a browser profile of their own, who has the page open. `problems` is what the page complained about.
async function person(name, gateway, room, options = {}) {
    const context = await chromium.newContext(options);
    await context.addInitScript((text) => localStorage.setItem('chat.name', text), name);
    const page = await context.newPage();
    page.problems = [];
    page.on('pageerror', (error) => page.problems.push(String(error)));
    await page.goto(`${gateway.origin}/#${encodeURIComponent(room)}`);
    await waitState(page, 'connected');
    return page;
}

// Playwright's own waitForFunction() needs eval, which the page's Content-Security-Policy forbids, and should.
function waitIn(page, predicate, argument, timeout = 20000) {
    return waitFor(() => page.evaluate(predicate, argument), { timeout, what: `${predicate} with ${argument}` });
}

function waitState(page, state, timeout) {
    return waitIn(page, (wanted) => document.getElementById('state').dataset.state === wanted, state, timeout);
}

function waitCount(page, selector, n) {
    return waitIn(page, (query) => document.querySelectorAll(query[0]).length === query[1], [selector, n]);
}

async function say(page, text) {
    await page.fill('#text', text);
    await page.press('#text', 'Enter');
}

function shown(page, text) {
    return page.locator('.message', { has: page.locator('.text', { hasText: text }) });
}

function waitShown(page, text) {
    return shown(page, text).first().waitFor({ timeout: 15000 });
}

function waitConfirmed(page, text) {
    const isThere = (wanted) => [...document.querySelectorAll('.message[data-state=sent] .text')].some((node) => node.textContent === wanted);
    return waitIn(page, isThere, text);
}

async function close(...pages) {
    for (const page of pages) {
        assert.deepEqual(page.problems, []);
        await page.context().close();
    }
}

test('two people on two gateways chat, each message is seen once by each', async () => {
    const room = unique('chat');
    const ann = await person('Ann', gateways[0], room);
    const bob = await person('Bob', gateways[1], room);
    for (let i = 0; i < 5; i++) {
        await say(ann, `ann says ${i}`);
        await waitShown(bob, `ann says ${i}`);
        await say(bob, `bob answers ${i} 🎉 ça va`);
        await waitShown(ann, `bob answers ${i} 🎉 ça va`);
    }
    for (const page of [ann, bob]) {
        const texts = await page.locator('.message .text').allTextContents();
        const wanted = Array.from({ length: 5 }, (_, i) => [`ann says ${i}`, `bob answers ${i} 🎉 ça va`]).flat();
        assert.deepEqual(texts, wanted);
        assert.equal(await page.locator('.message.own').count(), 5);
        await waitCount(page, '.message[data-state=sent]', 10);
    }
    assert.equal(await shown(ann, 'bob answers 0').locator('.name').textContent(), 'Bob');
    await close(ann, bob);
});

test('somebody who comes late reads the history, pages back through it, and sees nothing twice', async () => {
    const room = unique('late');
    const publisher = await Wire.open(gateways[0].url);
    await publisher.connect();
    for (let i = 0; i < 120; i++) {
        const body = JSON.stringify({ name: 'Ann', text: `old ${i}.` });
        publisher.send('SEND', { destination: `/topic/chat.${room}`, 'content-type': 'application/json', receipt: `r${i}` }, body);
    }
    await publisher.receipt('r119');
    await waitFor(async () => {
        const { body } = await gateways[1].get(`/history?destination=/topic/chat.${room}&limit=1`);
        return JSON.parse(body).messages[0]?.body.includes('old 119.');
    });
    const page = await person('Late', gateways[1], room);
    await waitShown(page, 'old 119.');
    assert.equal(await page.locator('.message').count(), 50);
    await say(page, 'and I am here too');
    await waitConfirmed(page, 'and I am here too');
    for (const n of [100, 120]) {
        await page.evaluate(() => (document.getElementById('scroller').scrollTop = 0));
        await waitCount(page, '.message', n + 1);
    }
    const texts = await page.locator('.message .text').allTextContents();
    assert.deepEqual(texts, [...Array.from({ length: 120 }, (_, i) => `old ${i}.`), 'and I am here too']);
    publisher.terminate();
    await close(page);
});

test('what looks like HTML in names, texts and rooms is shown as text', async () => {
    const room = `<b>${unique('x')}</b>`;
    const name = '<b>Mallory</b>';
    const text = '<img src=x onerror="window.harm=1"><script>window.harm=1</script>';
    const mallory = await person(name, gateways[0], room);
    const bob = await person('Bob', gateways[1], room);
    await say(mallory, text);
    await waitShown(bob, text);
    for (const page of [mallory, bob]) {
        assert.equal(await page.locator('.message .name').first().textContent(), name);
        assert.equal(await page.locator('.message .text').first().textContent(), text);
        assert.equal(await page.textContent('#room-title'), room.toLowerCase());
        assert.equal(await page.locator('main b, main img, main script, aside b').count(), 0);
        assert.equal(await page.evaluate(() => window.harm), undefined);
    }
    await close(mallory, bob);
});

test('long and multi-line messages and names of rooms in any script arrive whole', async () => {
    const room = `${unique('räume')} 日本 🎉`;
    const ann = await person('Ann', gateways[0], room);
    const bob = await person('Bob', gateways[1], room, { viewport: { width: 360, height: 640 } });
    const text = `${'long line '.repeat(3000)}\nsecond line 🎉\n${'w'.repeat(2000)}`;
    await ann.fill('#text', text);
    await ann.click('#send');
    await waitConfirmed(ann, text);
    await waitShown(bob, 'second line 🎉');
    assert.equal(await bob.locator('.message .text').textContent(), text);
    assert.ok((await bob.evaluate(() => document.documentElement.scrollWidth)) <= 360);
    await close(ann, bob);
});

// Stops the broker, lets Ann write, waits until her page tells of it, and starts the broker.
async function outage(ann) {
    await h.services('stop-rabbit');
    try {
        await say(ann, 'into the dark');
        await shown(ann, 'into the dark').and(ann.locator('[data-state=pending]')).waitFor();
        await waitIn(ann, () => ['waiting', 'offline'].includes(document.getElementById('state').dataset.state), null, 30000);
        assert.match(await ann.textContent('#state-text'), /since \d/);
    } finally {
        await h.services('start-rabbit');
    }
    await waitState(ann, 'connected', 60000);
    await waitConfirmed(ann, 'into the dark');
}

async function checkOutage(ann, bob) {
    for (const page of [ann, bob]) {
        const texts = await page.locator('.message .text').allTextContents();
        assert.deepEqual(texts, ['before', 'into the dark', 'after']);
    }
    await close(ann, bob);
}

test('a broker that goes away is shown, what was written meanwhile arrives, and nobody reloads', { timeout: 240000 }, async () => {
    const room = unique('outage');
    const ann = await person('Ann', gateways[0], room);
    const bob = await person('Bob', gateways[1], room);
    await say(ann, 'before');
    await waitShown(bob, 'before');
    await outage(ann);
    await waitState(bob, 'connected', 60000);
    await waitShown(bob, 'into the dark');
    await say(bob, 'after');
    await waitShown(ann, 'after');
    await checkOutage(ann, bob);
});

test('a gap that is only marked is filled by the page', { timeout: 240000 }, async () => {
    const room = unique('gap');
    const marking = await h.gateway({ route: [topic('mark')] });
    const ann = await person('Ann', gateways[0], room);
    const bob = await person('Bob', marking, room);
    await say(ann, 'before');
    await waitShown(bob, 'before');
    await outage(ann);
    await waitFor(async () => (await marking.get('/readyz')).status === 200);
    await say(ann, 'after');
    await waitShown(bob, 'after');
    await waitShown(bob, 'into the dark');
    await checkOutage(ann, bob);
});

test('a gateway that goes away is shown as offline, and the page comes back by itself', async () => {
    const gateway = await h.gateway();
    const port = gateway.port;
    const room = unique('gone');
    const ann = await person('Ann', gateway, room);
    await say(ann, 'first');
    await waitConfirmed(ann, 'first');
    await gateway.stop();
    await waitState(ann, 'offline');
    assert.match(await ann.textContent('#state-text'), /^Offline since \d/);
    await say(ann, 'written while offline');
    const bob = await person('Bob', gateways[0], room);
    await say(bob, 'ann misses this');
    await waitConfirmed(bob, 'ann misses this');
    await h.gateway({ gateway: { port } });
    await waitState(ann, 'connected', 30000);
    await waitConfirmed(ann, 'written while offline');
    await waitShown(ann, 'ann misses this');
    await waitShown(bob, 'written while offline');
    await close(ann, bob);
});
