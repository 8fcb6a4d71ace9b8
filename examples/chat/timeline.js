// The messages of one room, in order, each once, and what is seen of them. All text goes in as text.

const GROUP_MS = 5 * 60 * 1000; // messages of one name within this time stand under one head
const SHOWN_MAX = 2000; // older ones leave the page; the history has them
const FOLD_CHARS = 1200;
const FOLD_LINES = 16;
const LINK = /\bhttps?:\/\/[^\s<>"]+[^\s<>".,;:!?'()[\]{}]/gu;
const ONLY_EMOJI = /^(?:\p{Extended_Pictographic}|\p{Emoji_Component}|\s){1,12}$/u;
const HAS_EMOJI = /\p{Extended_Pictographic}|\p{Regional_Indicator}/u;

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });
const calendar = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });

function element(tag, className, text) {
    const node = document.createElement(tag);
    node.className = className;
    if (text !== undefined) {
        node.textContent = text;
    }
    return node;
}

function dayName(date) {
    const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(date).setHours(0, 0, 0, 0)) / 86400000);
    return days === 0 ? 'Today' : days === 1 ? 'Yesterday' : calendar.format(date);
}

function initial(name) {
    const first = [...new Intl.Segmenter().segment(name)][0]?.segment ?? '?';
    return first.toUpperCase();
}

// One of twelve colours, always the same for a name.
function hueClass(name) {
    const sum = [...name].reduce((hash, c) => (hash * 31 + c.codePointAt(0)) % 1000003, 7);
    return `hue-${sum % 12}`;
}

function fillText(node, text) {
    let from = 0;
    for (const match of text.matchAll(LINK)) {
        const link = element('a', '', match[0]);
        link.href = match[0];
        link.target = '_blank';
        link.rel = 'noopener noreferrer nofollow';
        node.append(text.slice(from, match.index), link);
        from = match.index + match[0].length;
    }
    node.append(text.slice(from));
    node.classList.toggle('jumbo', ONLY_EMOJI.test(text) && HAS_EMOJI.test(text));
}

function addFold(body, textNode, text) {
    if (text.length <= FOLD_CHARS && text.split('\n', FOLD_LINES + 1).length <= FOLD_LINES) {
        return;
    }
    const button = element('button', 'fold', 'Show all');
    button.type = 'button';
    button.setAttribute('aria-expanded', 'false');
    textNode.classList.add('folded');
    button.addEventListener('click', () => {
        const isFolded = textNode.classList.toggle('folded');
        button.textContent = isFolded ? 'Show all' : 'Show less';
        button.setAttribute('aria-expanded', String(!isFolded));
    });
    body.append(button);
}

// What is not confirmed has no id yet and stands last.
function isBefore(a, b) {
    if (!a.id || !b.id) {
        return Boolean(a.id) || (!b.id && a.at <= b.at);
    }
    return a.at - b.at !== 0 ? a.at < b.at : a.id < b.id;
}

export class Timeline {
    // onRetry(entry): the person wants to send a failed message once more.
    constructor({ onRetry, isOwnKey }) {
        this.onRetry = onRetry;
        this.isOwnKey = isOwnKey;
        this.node = element('ol', 'timeline');
        this.entries = [];
        this.byId = new Map();
        this.byKey = new Map();
    }

    get oldest() {
        return this.entries.find((entry) => entry.id);
    }

    get newest() {
        return this.entries.findLast((entry) => entry.id);
    }

    get isEmpty() {
        return this.entries.length === 0;
    }

    // Adds a live or stored message. False when it is there already.
    add(message) {
        const known = this.byId.get(message.id) ?? (message.key && this.byKey.get(message.key));
        if (known) {
            this.#meet(known, message);
            return false;
        }
        this.#insert({ ...message, isOwn: this.isOwnKey(message.key), state: 'sent' });
        return true;
    }

    // Adds a message of our own that was not confirmed yet.
    addPending({ key, name, text }) {
        this.#insert({ id: null, key, name, text, at: new Date(), isOwn: true, state: 'pending' });
    }

    // The end of addPending(): problem null, or why it will not be sent.
    settle(key, problem) {
        const entry = this.byKey.get(key);
        if (entry && entry.state !== 'sent') {
            entry.state = problem === null ? 'sent' : 'failed';
            entry.problem = problem;
            this.#mark(entry);
        }
    }

    retry(entry) {
        entry.state = 'pending';
        this.#mark(entry);
        this.onRetry(entry);
    }

    // Forgets the oldest that are too many for the page. True when there were some.
    trim() {
        const extra = this.entries.length - SHOWN_MAX;
        this.#drop(Math.max(0, extra));
        return extra > 0;
    }

    // Forgets what is older than `message`: between the two there is a hole that was too large to fill.
    dropBefore(message) {
        const n = this.entries.findIndex((entry) => !entry.id || !isBefore(entry, message));
        this.#drop(n < 0 ? this.entries.length : n);
    }

    #drop(n) {
        for (const entry of this.entries.splice(0, n)) {
            entry.node.remove();
            this.byId.delete(entry.id);
            this.byKey.delete(entry.key);
        }
        this.#regroup(0);
    }

    // Our own message came back, or one came twice: it now has its place and time.
    #meet(entry, message) {
        if (entry.id) {
            return;
        }
        this.entries.splice(this.entries.indexOf(entry), 1);
        entry.id = message.id;
        entry.at = message.at;
        // a failed one was sent after all; a pending one waits for its RECEIPT
        entry.state = entry.state === 'failed' ? 'sent' : entry.state;
        this.#place(entry);
        this.#mark(entry);
    }

    #insert(entry) {
        this.#build(entry);
        this.#place(entry);
        this.#mark(entry);
        if (entry.key) {
            this.byKey.set(entry.key, entry);
        }
    }

    #place(entry) {
        let at = this.entries.length;
        while (at > 0 && isBefore(entry, this.entries[at - 1])) {
            at--;
        }
        const next = this.entries[at]?.node ?? null;
        if (entry.node.parentNode !== this.node || entry.node.nextSibling !== next) {
            this.node.insertBefore(entry.node, next);
        }
        this.entries.splice(at, 0, entry);
        if (entry.id) {
            this.byId.set(entry.id, entry);
        }
        entry.time.dateTime = entry.at.toISOString();
        entry.time.textContent = clock.format(entry.at);
        entry.time.title = moment.format(entry.at);
        this.#regroup(at);
        this.#regroup(at + 1);
    }

    // Whether entry `at` begins a day and a group depends on the one before it.
    #regroup(at) {
        const entry = this.entries[at];
        if (!entry) {
            return;
        }
        const before = this.entries[at - 1];
        const isNewDay = !before || before.at.toDateString() !== entry.at.toDateString();
        const isSame = before && before.name === entry.name && before.isOwn === entry.isOwn && entry.at - before.at < GROUP_MS;
        entry.day.hidden = !isNewDay;
        entry.day.textContent = isNewDay ? dayName(entry.at) : '';
        entry.node.classList.toggle('first', isNewDay || !isSame);
    }

    #build(entry) {
        entry.node = element('li', `message ${hueClass(entry.name)}`);
        entry.node.classList.toggle('own', entry.isOwn);
        entry.day = element('p', 'day');
        const avatar = element('span', 'avatar', initial(entry.name));
        avatar.ariaHidden = 'true';
        entry.time = document.createElement('time');
        const head = element('p', 'who');
        head.append(element('bdi', 'name', entry.name), entry.isOwn ? element('span', 'you', 'you') : '', entry.time);
        const text = element('div', 'text');
        text.dir = 'auto';
        fillText(text, entry.text);
        const body = element('div', 'body');
        body.append(text);
        addFold(body, text, entry.text);
        entry.markNode = element('p', 'mark');
        entry.node.append(entry.day, avatar, head, body, entry.markNode);
    }

    #mark(entry) {
        entry.node.dataset.state = entry.state;
        entry.markNode.replaceChildren();
        if (entry.state === 'pending') {
            entry.markNode.textContent = 'Sending…';
        } else if (entry.state === 'failed') {
            const button = element('button', 'retry', 'Try again');
            button.type = 'button';
            button.addEventListener('click', () => this.retry(entry));
            entry.markNode.append(element('span', '', `Not sent. ${entry.problem} `), button);
        }
    }
}
