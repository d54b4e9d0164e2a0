import { checkAll } from './axe';
import { test } from './server';

// A local server without users, whose link the browser has not opened.
test.use({ isLinkOpened: false });
checkAll('locked');
