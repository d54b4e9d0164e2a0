import { test } from '../server';
import { shootAll } from './shoot';

test.use({ settings: { PUBLIC_BASE_URL: '$URL' } });
shootAll('new');
