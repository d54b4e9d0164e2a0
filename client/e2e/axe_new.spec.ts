import { tryAll } from './axe';
import { test } from './server';

// Others reach it, and it has no users yet.
test.use({ settings: { PUBLIC_BASE_URL: '$URL' } });
tryAll('new');
