import { checkAll } from './axe';

// Only an open server plays the simulated call.
checkAll('open');
