import { tryAll } from './axe';

// The simulated call is an open server's.
tryAll('open');
