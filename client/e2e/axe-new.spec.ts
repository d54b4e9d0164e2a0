import { checkAll } from './axe';
import { test } from './server';

// A server that is reachable from outside, without users.
test.use({ settings: { PUBLIC_BASE_URL: '$URL' } });
checkAll('new');
