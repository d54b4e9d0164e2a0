import { shootAll } from './shoot';

shootAll('open');
