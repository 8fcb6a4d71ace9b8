// Many live rooms, and the connection to the broker is cut: the hook of bench/run.
import { Unavailable } from './peers.mjs';

// peer: a gateway that runs, in front of services. Gives what the tables show, see table.mjs.
export async function recover() {
    throw new Unavailable('there is no script for this yet');
}
