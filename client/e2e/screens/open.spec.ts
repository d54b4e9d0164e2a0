import { test } from '../server';
import { shootAll } from './shoot';

test.use({ settings: { ARCHIVE: 'true' } });
shootAll('open');
