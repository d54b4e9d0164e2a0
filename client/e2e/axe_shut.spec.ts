import { tryAll } from './axe';
import { test } from './server';

// This machine alone reaches it, and the browser has not opened its link.
test.use({ isLinkOpened: false });
tryAll('shut');
