// BEGIN, COMMIT, ABORT, and what is held between them.
const text = String.raw;

const one = (name, ...frames) => ({
    name,
    script: frames.map((frame) => `a> ${frame}\n${/receipt:/.test(frame) ? 'a< RECEIPT' : ''}`).join('\n'),
});

export default [
    {
        name: 'COMMIT sends, in order',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|receipt:s
            a< RECEIPT
            a> BEGIN|transaction:t|receipt:b
            a< RECEIPT
            a> SEND|destination:/queue/$q|transaction:t||1
            a> SEND|destination:/queue/$q|transaction:t||2
            a! sync
            a> SEND|destination:/queue/$q||not in it
            a< MESSAGE
            a> COMMIT|transaction:t
            a< MESSAGE
            a< MESSAGE`,
    },
    {
        name: 'ABORT throws away',
        script: text`
            make $q
            a> BEGIN|transaction:t
            a> SEND|destination:/queue/$q|transaction:t||1
            a> ABORT|transaction:t|receipt:r
            a< RECEIPT
            get $q`,
    },
    {
        name: 'DISCONNECT throws away',
        script: text`
            make $q
            a> BEGIN|transaction:t
            a> SEND|destination:/queue/$q|transaction:t||1
            a> DISCONNECT|receipt:r
            a< RECEIPT
            a! closed
            get $q`,
    },
    {
        name: 'COMMIT with a receipt',
        script: text`
            a> BEGIN|transaction:t
            a> SEND|destination:/queue/$q|transaction:t||1
            a> COMMIT|transaction:t|receipt:r
            a< RECEIPT
            count $q 1`,
    },
    {
        name: 'a receipt of a SEND in a transaction',
        script: text`
            a> BEGIN|transaction:t
            a> SEND|destination:/queue/$q|transaction:t|receipt:1||1
            a! sync
            a> COMMIT|transaction:t
            a< RECEIPT
            count $q 1`,
    },
    {
        name: 'ACK in a transaction: held, then done',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|ack:client-individual|receipt:s
            a< RECEIPT
            a> SEND|destination:/queue/$q||1
            a< MESSAGE
            a> BEGIN|transaction:t
            a> ACK|id:$a.ack|transaction:t
            a> COMMIT|transaction:t|receipt:c
            a< RECEIPT
            a> DISCONNECT|receipt:d
            a< RECEIPT
            a! closed
            count $q 0`,
    },
    {
        name: 'ACK in a transaction that is aborted: never done',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|ack:client-individual|receipt:s
            a< RECEIPT
            a> SEND|destination:/queue/$q||1
            a< MESSAGE
            a> BEGIN|transaction:t
            a> ACK|id:$a.ack|transaction:t
            a> ABORT|transaction:t|receipt:c
            a< RECEIPT
            a> DISCONNECT|receipt:d
            a< RECEIPT
            a! closed
            count $q 1`,
    },
    {
        name: 'NACK in a transaction',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|ack:client-individual|receipt:s
            a< RECEIPT
            a> SEND|destination:/queue/$q||1
            a< MESSAGE
            a> BEGIN|transaction:t
            a> NACK|id:$a.ack|transaction:t
            a! sync
            a> COMMIT|transaction:t
            a< MESSAGE`,
    },
    {
        name: 'two transactions at once',
        script: text`
            make $q
            a> BEGIN|transaction:one
            a> BEGIN|transaction:two
            a> SEND|destination:/queue/$q|transaction:one||1
            a> SEND|destination:/queue/$p|transaction:two||2
            a> ABORT|transaction:one
            a> COMMIT|transaction:two|receipt:r
            a< RECEIPT
            get $q
            count $p 1`,
    },
    {
        name: 'SUBSCRIBE takes no part in transactions',
        script: text`
            a> BEGIN|transaction:t
            a> SUBSCRIBE|id:s|destination:/queue/$q|transaction:t|receipt:s
            a< RECEIPT
            a> SEND|destination:/queue/$q||1
            a< MESSAGE`,
    },
    {
        name: 'BEGIN of a transaction that is open',
        script: text`
            make $q
            a> BEGIN|transaction:t
            a> SEND|destination:/queue/$q|transaction:t||1
            a> BEGIN|transaction:t|receipt:r
            a< RECEIPT
            a> COMMIT|transaction:t|receipt:c
            a< RECEIPT
            get $q`,
    },
    {
        name: 'a destination that is wrong, in a transaction',
        script: text`
            a> BEGIN|transaction:t
            a> SEND|destination:/foo|transaction:t|receipt:s||1
            a< RECEIPT
            a> COMMIT|transaction:t|receipt:c
            a< RECEIPT`,
    },
    {
        name: 'an exchange that does not exist, in a transaction',
        script: text`
            a> BEGIN|transaction:t
            a> SEND|destination:/queue/$q|transaction:t||1
            a> SEND|destination:/exchange/$x/k|transaction:t||2
            a> COMMIT|transaction:t|receipt:c
            a< RECEIPT ERROR`,
    },
    {
        name: 'a queue is declared when its SEND comes, not at COMMIT',
        script: text`
            a> BEGIN|transaction:t
            a> SEND|destination:/queue/$q|transaction:t||1
            a! sync
            look $q
            a> ABORT|transaction:t`,
    },
    {
        name: 'BEGIN again after COMMIT',
        script: text`
            a> BEGIN|transaction:t
            a> COMMIT|transaction:t
            a> BEGIN|transaction:t|receipt:r
            a< RECEIPT`,
    },
    one('COMMIT of nothing', 'COMMIT|transaction:t|receipt:r'),
    one('ABORT of nothing', 'ABORT|transaction:t|receipt:r'),
    one('SEND in no transaction', 'SEND|destination:/queue/$q|transaction:t|receipt:r'),
    one('COMMIT twice', 'BEGIN|transaction:t', 'COMMIT|transaction:t', 'COMMIT|transaction:t|receipt:r'),
    one('BEGIN without a transaction', 'BEGIN|receipt:r'),
    one('COMMIT without a transaction', 'COMMIT|receipt:r'),
    one('ABORT without a transaction', 'ABORT|receipt:r'),
    one('BEGIN of an empty name', 'BEGIN|transaction:|receipt:r'),
];
