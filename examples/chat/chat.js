// The page: which room is open, who we are, and how what comes in reaches the eye.
//
//     rooms.js        names, keys, the list of rooms
//     connection.js   STOMP: subscriptions, outbox, connection state
//     messages.js     live and stored messages in one shape; GET /history
//     timeline.js     the messages of one room on the page
import { Connection } from './connection.js';
import { fetchHistory, fromFrame } from './messages.js';
import { destination, hashOf, loadRooms, nameFromHash, nameProblem, roomKey, saveRooms, tidy } from './rooms.js';
import { Timeline } from './timeline.js';

const PAGE = 50;
const CATCH_UP_PAGES = 20;
const STORAGE_LAG_MS = 2500; // what was on its way to the database when we joined is there by then
const TEXT_MAX = 200000;
const OWN_KEYS_MAX = 1000;
const at = (id) => document.getElementById(id);

const rooms = new Map(); // key → room
let current = null;
let me = localStorage.getItem('chat.name') ?? '';
let unseen = 0; // arrived below while the reader was further up

// ---- what is ours ---------------------------------------------------------------------------------------------------

const ownKeys = new Set(JSON.parse(localStorage.getItem('chat.sent') ?? '[]'));

// crypto.randomUUID() would want HTTPS, and this page also runs on a plain address in a local network.
function newKey() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    const key = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
    ownKeys.add(key);
    localStorage.setItem('chat.sent', JSON.stringify([...ownKeys].slice(-OWN_KEYS_MAX)));
    return key;
}

// ---- scrolling ------------------------------------------------------------------------------------------------------

const scroller = at('scroller');
let isAtEnd = true;

function toEnd() {
    scroller.scrollTop = scroller.scrollHeight;
    isAtEnd = true;
    unseen = 0;
    showNewer();
}

function showNewer() {
    at('newer').hidden = isAtEnd;
    at('newer').textContent = unseen > 0 ? `${unseen} new ${unseen === 1 ? 'message' : 'messages'} ↓` : 'To the latest ↓';
}

scroller.addEventListener('scroll', () => {
    isAtEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60;
    unseen = isAtEnd ? 0 : unseen;
    showNewer();
});
const keepEnd = new ResizeObserver(() => isAtEnd && toEnd());
keepEnd.observe(scroller); // the keyboard of a phone
keepEnd.observe(at('log')); // fonts that come late, folds
at('newer').addEventListener('click', toEnd);

// Changes the log so that what is being read stays where it is. `isSpoken`: a screen reader reads what was added.
function changeLog(change, { isSpoken }) {
    const fromEnd = scroller.scrollHeight - scroller.scrollTop;
    const isAbove = !isSpoken;
    at('log').setAttribute('aria-live', isSpoken ? 'polite' : 'off');
    change();
    if (isAtEnd) {
        toEnd();
    } else if (isAbove) {
        scroller.scrollTop = scroller.scrollHeight - fromEnd;
    }
}

// ---- rooms ----------------------------------------------------------------------------------------------------------

function addRoom(name) {
    const key = roomKey(name);
    const known = rooms.get(key);
    if (known) {
        return known;
    }
    const room = { key, name, unread: 0, hasEarlier: false, isFresh: false, isLoading: false, knownUntil: null, problem: null };
    room.timeline = new Timeline({
        isOwnKey: (messageKey) => ownKeys.has(messageKey),
        onRetry: (entry) => connection.send(key, entry.key, { name: entry.name, text: entry.text }),
    });
    rooms.set(key, room);
    connection.join(key);
    return room;
}

function leaveRoom(room) {
    rooms.delete(room.key);
    connection.leave(room.key);
    saveRooms([...rooms.values()].map((other) => other.name));
    if (room === current) {
        location.hash = hashOf([...rooms.values()][0]?.name ?? 'lobby');
    } else {
        showRooms();
    }
}

function roomItem(room) {
    const item = document.createElement('li');
    const link = document.createElement('a');
    const name = document.createElement('bdi');
    link.href = hashOf(room.name);
    name.textContent = room.name;
    link.append(name);
    if (room === current) {
        link.setAttribute('aria-current', 'page');
    }
    if (room.unread > 0) {
        const badge = document.createElement('span');
        badge.className = 'badge';
        badge.textContent = room.unread > 99 ? '99+' : room.unread;
        badge.setAttribute('aria-label', `${room.unread} unread`);
        link.append(badge);
    }
    const leave = document.createElement('button');
    leave.type = 'button';
    leave.className = 'leave';
    leave.textContent = '×';
    leave.setAttribute('aria-label', `Leave ${room.name}`);
    leave.addEventListener('click', () => leaveRoom(room));
    item.append(link, leave);
    return item;
}

function showRooms() {
    const focused = at('rooms').contains(document.activeElement) ? document.activeElement.getAttribute('href') : null;
    at('rooms').replaceChildren(...[...rooms.values()].map(roomItem));
    if (focused) {
        [...at('rooms').querySelectorAll('a')].find((link) => link.getAttribute('href') === focused)?.focus();
    }
    const unread = [...rooms.values()].reduce((sum, room) => sum + room.unread, 0);
    at('menu-badge').hidden = unread === 0;
    at('menu-badge').textContent = unread > 99 ? '99+' : unread;
    document.title = `${unread > 0 ? `(${unread}) ` : ''}${current?.name ?? 'chat'} · stompgate chat`;
}

function enterRoom(name) {
    const room = addRoom(name);
    if (current) {
        current.scrollTop = isAtEnd ? null : scroller.scrollTop;
        current.draft = at('text').value;
    }
    current = room;
    room.unread = 0;
    at('room-title').textContent = room.name;
    at('text').value = room.draft ?? '';
    at('log').setAttribute('aria-live', 'off');
    at('log').replaceChildren(room.timeline.node);
    at('log').setAttribute('aria-label', `Messages in ${room.name}`);
    saveRooms([...rooms.values()].map((other) => other.name));
    showRooms();
    showHead();
    showProblem();
    fitText();
    openMenu(false);
    toEnd();
    if (room.scrollTop) {
        scroller.scrollTop = room.scrollTop;
    }
    if (!room.isFresh && connection.client.connected) {
        catchUp(room);
    }
}

function enterFromHash() {
    const name = nameFromHash(location.hash);
    if (nameProblem(name) === null) {
        enterRoom(name);
    } else {
        history.replaceState(null, '', hashOf(current?.name ?? loadRooms()[0] ?? 'lobby'));
        enterFromHash();
    }
}

// ---- history --------------------------------------------------------------------------------------------------------

function addAll(room, messages) {
    const add = () => messages.forEach((message) => room.timeline.add(message));
    if (room === current) {
        changeLog(add, { isSpoken: false });
    } else {
        add();
    }
}

// The stored messages between what was known before (knownUntil) and now; on the first entry, the latest page.
async function readMissed(room) {
    let before;
    for (let page = 0; page < CATCH_UP_PAGES; page++) {
        const messages = await fetchHistory(destination(room.key), { before, limit: PAGE });
        addAll(room, messages);
        const isWhole = messages.length < PAGE;
        if (!room.knownUntil) {
            room.hasEarlier = !isWhole;
            return;
        }
        if (isWhole || messages[0].at <= room.knownUntil) {
            return;
        }
        before = messages[0].id;
    }
    room.timeline.dropBefore(room.timeline.byId.get(before));
    room.hasEarlier = true;
}

async function catchUp(room) {
    if (room.isLoading) {
        room.isAskedAgain = true;
        return;
    }
    room.isLoading = true;
    try {
        await readMissed(room);
        room.historyProblem = null;
        room.isFresh = true;
        room.knownUntil = room.timeline.newest?.at ?? null;
        setTimeout(() => readAgain(room), STORAGE_LAG_MS);
    } catch (error) {
        room.historyProblem = 'The history cannot be read at the moment.';
        if (error.status !== 404 && error.status !== 403) {
            setTimeout(() => rooms.has(room.key) && connection.client.connected && catchUp(room), 3000);
        }
    } finally {
        room.isLoading = false;
        showHead();
    }
    if (room.isAskedAgain) {
        room.isAskedAgain = false;
        catchUp(room);
    }
}

async function readAgain(room) {
    const messages = await fetchHistory(destination(room.key), { limit: PAGE }).catch(() => []);
    const oldest = room.timeline.oldest;
    addAll(room, messages.filter((message) => !oldest || message.at >= oldest.at));
    showHead();
}

async function readEarlier() {
    const room = current;
    const oldest = room.timeline.oldest;
    if (!oldest || room.isLoading || !room.hasEarlier) {
        return;
    }
    room.isLoading = true;
    at('earlier').textContent = 'Loading…';
    try {
        const messages = await fetchHistory(destination(room.key), { before: oldest.id, limit: PAGE });
        room.hasEarlier = messages.length === PAGE;
        addAll(room, messages);
        room.historyProblem = null;
    } catch {
        room.historyProblem = 'The history cannot be read at the moment.';
    } finally {
        room.isLoading = false;
        at('earlier').textContent = 'Earlier messages';
        showHead();
    }
}

// What stands above the first message.
function showHead() {
    if (!current) {
        return;
    }
    const { hasEarlier, isFresh, historyProblem, timeline, isLoading } = current;
    at('earlier').hidden = !hasEarlier;
    at('beginning').hidden = hasEarlier && !historyProblem;
    at('beginning').textContent =
        historyProblem ??
        (!isFresh ? (isLoading ? 'Loading the history…' : '') : timeline.isEmpty ? 'Nobody has said anything yet. Say hello!' : 'This is where the room begins.');
}

at('earlier').addEventListener('click', readEarlier);
new IntersectionObserver(([entry]) => entry.isIntersecting && readEarlier(), { root: scroller }).observe(at('earlier'));

// ---- connection -----------------------------------------------------------------------------------------------------

const STATES = { connecting: 'Connecting…', connected: 'Connected', waiting: 'Messages are held up', offline: 'Offline' };

function showState(state, { since, problem }) {
    const time = since.toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' });
    at('state').dataset.state = state;
    at('state-text').textContent = ['offline', 'waiting'].includes(state) ? `${STATES[state]} since ${time}` : STATES[state];
    at('retry-now').hidden = state !== 'offline';
    if (state === 'offline') {
        for (const room of rooms.values()) {
            room.knownUntil = room.isFresh ? (room.timeline.newest?.at ?? room.knownUntil) : room.knownUntil;
            room.isFresh = false;
        }
    }
    showProblem(state === 'connected' ? null : problem);
}

function showProblem(problem = null) {
    const text = current?.problem ?? problem;
    at('banner').hidden = !text;
    at('banner').textContent = text ?? '';
}

function takeMessage(key, frame) {
    const room = rooms.get(key);
    if (!room) {
        return;
    }
    if (frame.headers.gap === 'true') {
        room.knownUntil = room.timeline.newest?.at ?? null;
        catchUp(room);
    }
    let isNew = false;
    const add = () => (isNew = room.timeline.add(fromFrame(frame)));
    if (room !== current) {
        add();
        room.timeline.trim();
        room.unread += isNew ? 1 : 0;
        showRooms();
        return;
    }
    changeLog(add, { isSpoken: true });
    if (isNew && !isAtEnd) {
        unseen++;
        showNewer();
    }
    if (isAtEnd && room.timeline.trim()) {
        room.hasEarlier = true;
    }
    if (document.hidden && isNew) {
        room.unread++;
        showRooms();
    }
    showHead();
}

document.addEventListener('visibilitychange', () => {
    if (!document.hidden && current?.unread) {
        current.unread = 0;
        showRooms();
    }
});

const url = new URL(document.querySelector('meta[name=stomp-url]').content, document.baseURI);
url.protocol = url.protocol.replace('http', 'ws');

const connection = new Connection(url.href, {
    onState: showState,
    onMessage: takeMessage,
    onJoined: (key) => key === current?.key && catchUp(current),
    onRefused: (key, reason) => {
        rooms.get(key).problem = `This room cannot be entered: ${reason}`;
        showProblem();
    },
    onSettled: (key, problem) => rooms.forEach((room) => room.timeline.settle(key, problem)),
});

at('retry-now').addEventListener('click', () => connection.retry());
addEventListener('online', () => connection.retry());

// ---- writing --------------------------------------------------------------------------------------------------------

function fitText() {
    const text = at('text');
    text.style.height = 'auto';
    text.style.height = `${Math.min(text.scrollHeight, innerHeight * 0.4)}px`;
    at('send').disabled = text.value.trim() === '';
}

at('text').addEventListener('input', fitText);
at('text').addEventListener('keydown', (event) => {
    // Enter also confirms a candidate of an input method
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        at('compose').requestSubmit();
    }
});

at('compose').addEventListener('submit', (event) => {
    event.preventDefault();
    const text = at('text').value.trim();
    if (text === '' || !me) {
        return;
    }
    if (text.length > TEXT_MAX) {
        showProblem(`That is too long: ${text.length.toLocaleString()} characters; ${TEXT_MAX.toLocaleString()} are the most.`);
        return;
    }
    const key = newKey();
    changeLog(() => current.timeline.addPending({ key, name: me, text }), { isSpoken: false });
    connection.send(current.key, key, { name: me, text });
    at('text').value = '';
    fitText();
    showProblem();
    toEnd();
    showHead();
    at('text').focus();
});

// ---- the sides of the page ------------------------------------------------------------------------------------------

function openMenu(isOpen) {
    at('app').classList.toggle('menu-open', isOpen);
    at('menu').setAttribute('aria-expanded', String(isOpen));
}

at('menu').addEventListener('click', () => openMenu(!at('app').classList.contains('menu-open')));
at('veil').addEventListener('click', () => openMenu(false));
at('skip').addEventListener('click', () => at('text').focus());
addEventListener('keydown', (event) => event.key === 'Escape' && openMenu(false));

at('join').addEventListener('submit', (event) => {
    event.preventDefault();
    const input = at('join-name');
    const problem = nameProblem(input.value);
    at('join-hint').textContent = problem ?? '';
    if (!problem) {
        location.hash = hashOf(tidy(input.value));
        input.value = '';
        openMenu(false);
        at('text').focus();
    }
});

function showMe() {
    at('me').textContent = me;
}

function askName() {
    at('name').value = me;
    at('name-dialog').showModal();
    at('name').select();
}

at('me').addEventListener('click', askName);
at('name-dialog').addEventListener('cancel', (event) => me || event.preventDefault());
at('name-form').addEventListener('submit', (event) => {
    const name = at('name').value.normalize('NFC').trim();
    if (!name) {
        event.preventDefault();
        return;
    }
    me = name;
    localStorage.setItem('chat.name', me);
    showMe();
});
at('name-dialog').addEventListener('close', () => at('text').focus());

// ---- start ----------------------------------------------------------------------------------------------------------

addEventListener('hashchange', enterFromHash);
loadRooms().forEach(addRoom);
enterFromHash();
showMe();
showState('connecting', { since: new Date(), problem: null });
connection.open();
if (me) {
    at('text').focus();
} else {
    askName();
}
