// From what comes off the wire, live or stored, to one shape:
//     { id, key, name, text, at, isNotice }
// id is the message's own, the same in MESSAGE and in the history; key is the sender's idempotency-key, the same when a message was sent
// twice because its receipt got lost.

const UUID7 = /^([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;

// A version 7 UUID begins with its time in milliseconds.
function timeOf(id) {
    const match = UUID7.exec(id ?? '');
    return match ? new Date(parseInt(match[1] + match[2], 16)) : null;
}

function asText(value) {
    return typeof value === 'string' ? value : undefined;
}

// Ours is {"name","text"}; whatever else another application publishes is shown as it is.
function parseBody(body) {
    try {
        const value = JSON.parse(body);
        const text = asText(value?.text);
        return { name: asText(value?.name), text: text ?? body };
    } catch {
        return { text: body };
    }
}

function shape(id, at, headers, sender, body) {
    const { name, text } = parseBody(body);
    return { id, at, key: headers['chat-key'], name: (name ?? sender ?? '').trim().slice(0, 80) || 'an application', text };
}

export function fromFrame(frame) {
    const id = frame.headers['message-id'];
    return shape(id, timeOf(id) ?? new Date(), frame.headers, undefined, frame.body);
}

function decodeBase64(text) {
    return new TextDecoder().decode(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
}

export function fromHistory(row) {
    const body = row.body ?? decodeBase64(row.body_base64 ?? '');
    return shape(row.id, timeOf(row.id) ?? new Date(row.sent_at), row.headers ?? {}, row.sender ?? undefined, body);
}

// The newest `limit` stored messages of a destination (those before `before`), in ascending order.
export async function fetchHistory(destination, { before, limit = 50 } = {}) {
    const query = new URLSearchParams({ destination, limit });
    if (before) {
        query.set('before', before);
    }
    const answer = await fetch(`/history?${query}`, { signal: AbortSignal.timeout(10000), cache: 'no-store' });
    if (!answer.ok) {
        throw Object.assign(new Error(`history: ${answer.status}`), { status: answer.status });
    }
    const { messages } = await answer.json();
    return messages.map(fromHistory);
}
