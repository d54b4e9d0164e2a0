import { checkAll } from './axe';
import { ALICE, test } from './server';

test.use({ users: [ALICE] });
checkAll('users');
