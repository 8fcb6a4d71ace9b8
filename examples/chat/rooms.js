// Names of rooms: what a person types, what stands in the URL, and the key that stands in the destination.

const STORE = 'chat.rooms';
const KEPT = 30; // each of them is one subscription
const KEY_BYTES = 100;

// What is the same room for a person is the same room here: case, width and spare blanks do not count.
export function tidy(name) {
    return name.normalize('NFKC').toLowerCase().replace(/^#/, '').replace(/\s+/gu, ' ').trim();
}

// "café 🎉" → "caf~e9~~20~~1f389~": a-z 0-9 - _ stand for themselves, everything else is its code point between tildes, so that no
// dot, slash, star or percent sign of a name means anything to a destination.
export function roomKey(name) {
    return [...tidy(name)].map((c) => (/[a-z0-9_-]/.test(c) ? c : `~${c.codePointAt(0).toString(16)}~`)).join('');
}

export function destination(key) {
    return `/topic/chat.${key}`;
}

// Why a name cannot be a room, or null.
export function nameProblem(name) {
    const key = roomKey(name);
    if (key === '') {
        return 'A room needs a name.';
    }
    return key.length > KEY_BYTES ? 'That name is too long.' : null;
}

export function nameFromHash(hash) {
    try {
        return tidy(decodeURIComponent(hash.replace(/^#/, '')));
    } catch {
        return ''; // a stray percent sign
    }
}

export function hashOf(name) {
    return `#${encodeURIComponent(name)}`;
}

// The rooms that were seen, the latest first.
export function loadRooms() {
    try {
        const names = JSON.parse(localStorage.getItem(STORE) ?? '[]');
        return names.filter((name) => typeof name === 'string' && nameProblem(name) === null).map(tidy).slice(0, KEPT);
    } catch {
        return [];
    }
}

export function saveRooms(names) {
    try {
        localStorage.setItem(STORE, JSON.stringify(names.slice(0, KEPT)));
    } catch {
        // private mode, or full: the list lives as long as the page
    }
}
