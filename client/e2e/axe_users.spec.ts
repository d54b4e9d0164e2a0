import { tryAll } from './axe';
import { ALICE, test } from './server';

test.use({ users: [ALICE] });
tryAll('users');
