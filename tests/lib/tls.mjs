// Certificates that are made for a test and thrown away, and sockets that trust no other.
//
//     const pair = await makePair(h.folder, 'one', { kind: 'rsa' });            { certificate, key } are files, ca is text
//     const gw = await h.gateway(tlsConfig(pair));
//     const raw = await openRaw(gw, pair);
//     await Wire.open(gw.tlsUrl, trust(pair));
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import tls from 'node:tls';
import { promisify } from 'node:util';
import { Raw } from './raw.mjs';

const KINDS = { ec: ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'], rsa: ['rsa:2048'], weak: ['rsa:1024'] };

export function openssl(...args) {
    return promisify(execFile)('openssl', args, { timeout: 30000 });
}

// A key and a certificate of its own for 127.0.0.1.
export async function makePair(folder, name, { kind = 'ec', subject = name, days = 2 } = {}) {
    const [certificate, key] = [path.join(folder, `${name}.pem`), path.join(folder, `${name}.key`)];
    const [newkey, ...options] = KINDS[kind];
    const what = ['-x509', '-newkey', newkey, ...options, '-nodes', '-days', String(days), '-subj', `/CN=${subject}`];
    await openssl('req', ...what, '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', certificate);
    return { certificate, key, ca: await readFile(certificate, 'utf8') };
}

// For config of h.gateway().
export function tlsConfig({ certificate, key }, extra = {}) {
    return { ...extra, tls: { enabled: true, port: 0, certificate, key } };
}

// Options of Node's clients: this certificate and no other.
export function trust(pair, extra = {}) {
    return { ca: pair.ca, ...extra };
}

// A socket after its handshake; rejects when there is none.
export function connectTls(gateway, pair, options = {}) {
    return new Promise((resolve, reject) => {
        const socket = tls.connect({ host: '127.0.0.1', port: gateway.tlsPort, noDelay: true, ...trust(pair), ...options });
        socket.once('secureConnect', () => resolve(socket)).once('error', reject);
        socket.once('close', () => reject(new Error('closed before the end of the handshake')));
    });
}

export async function openRaw(gateway, pair, options) {
    return new Raw(await connectTls(gateway, pair, options));
}
