import { ALICE, test } from '../server';
import { shootAll } from './shoot';

test.use({ users: [ALICE] });
shootAll('users');
